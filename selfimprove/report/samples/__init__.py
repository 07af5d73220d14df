"""What a model said in a run, and what was done with it: for the terminal, for JSON and for the page.

Nothing here opens a step that examines sealed problems, and audit problems only after the exam.
"""
