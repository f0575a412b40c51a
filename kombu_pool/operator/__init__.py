"""Queries and actions of an operator, behind the command line.

Answers are dataclasses, whose fields are the keys of the JSON that the command line prints.
"""
