"""The course: what a lesson is made of, and how notebooks are built, given to students and run.

classroom.py   what a lesson says to a student: cards, checks, solutions, and all that follows here
asking.py      questions that come before the answer: one of some options, or a number
claims.py      statements of a lesson that must hold
page.py        how that is shown: HTML in a notebook, with the same as text
judging.py     what a check makes of an answer, and the student's line that is to blame
lesson.py      the same for lessons of style 1, as text
exercises/     the exercises of each lesson: what they ask, their hints, their reference and the check
cells.py       a clip in the cells in which a network sees it
build.py       from a lesson's text to its notebook
prose.py       what it fills in there: links, and numbers of the run, which later runs are held to
style.py       what a reader meets in a lesson, counted, and the limits
student.py     the student edition: whole, into a working folder, one lesson afresh
headless.py    notebooks run by a program, measured
doctor.py      whether lessons will run on this machine
"""
