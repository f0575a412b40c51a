"""What an operator sees and does: the questions and actions behind the command line, a page, or metrics.

Answers are dataclasses, whose fields are the keys of the JSON that the command line prints.
"""
