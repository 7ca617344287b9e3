"""Evaluate, calibrate, compare, publish: what a reader scores, how sure that is, where it fails and what it
costs.
"""

from __future__ import annotations

from tinyreader.report.record import Question, Report, load_questions, load_report, save_report

__all__ = ["Question", "Report", "load_questions", "load_report", "save_report"]
