"""The steps of this release, one module each: ``mNNNN_name``. docs/migrations.md says how to add one."""
