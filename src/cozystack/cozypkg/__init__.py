"""``cozypkg``: list, plan, explain and change the packages of a cluster, or of files (specification, cozypkg).

==================  =============================================================================
``main``            the program: commands are loaded when they are called, errors become exit codes
``errors``          what can go wrong, and the exit codes
``options``         options that several commands share: where the cluster is, how to print
``session``         one call of the program: its options, its clock, its way to the cluster
``http``            a transport that loads in no time
``world``           what a command looks at: read once, then memory
``documents``       YAML files, folders and standard input as objects, each with its file and line
``output``          tables, JSON, YAML and names on standard output; everything else on standard error
``prompts``         questions, only ever on a terminal
``adding``          from what is to be added to what is to be written
``writing``         all of it or nothing: rehearsed by the server, then written
``waiting``         following a cluster until something is true
``commands``        one module a command, each thin: what it decides, the planner decides
==================  =============================================================================
"""
