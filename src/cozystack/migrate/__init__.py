"""Migrations: what has to change in a cluster before the packages of a new release of the platform may move.

================  ==========================================================
``access``        what a step reads and writes: declared, enforced, turned into a role
``changes``       what a step would do, as data
``step``          what a step is; those of this release, those of a folder, scripts
``ledger``        what has been done, one object
``decision``      what to do next, a pure function
``runner``        reads, decides, does one thing, reads again
``planning``      what would happen
``waiting``       the hook that only waits for a runner
``main``          the program ``cozystack-migrate``
``generate``      the role and the list of steps in the platform's chart
``steps``         the steps of this release
================  ==========================================================

Why it is like this: docs/design/migrations.md.
"""
