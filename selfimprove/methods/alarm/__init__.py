"""Survey sections 6 and 7: known ways to fail, watched for in every round."""
