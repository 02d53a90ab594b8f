"""What the JSON documents of the commands hold, key by key: for the reference, and for the test that holds the outputs to it.

A line is ``path | type | meaning``. ``[]`` are the elements of a list, ``*`` is any key of a map, ``?`` marks what is left out
where there is nothing to say, ``...`` more keys that are told elsewhere. ``-o yaml`` holds the same.
"""

from __future__ import annotations

from typing import Final

OBJECTS: Final = ("export", "list")
"""Commands whose JSON is objects of the Kubernetes API, as a list or a ``v1/List``."""

_PROBLEM = """\
{0}[] | map | a fact about the objects that stands in the way
{0}[].type | text | which fact: `MissingDependency`, `MoveRefused` and so on
{0}[].subject | map | the object at fault
{0}[].subject.kind | text | its kind
{0}[].subject.name | text | its name
{0}[].subject.namespace? | text | its namespace
{0}[].message | text | the fact as a sentence
{0}[].unblock | text | what would mend it
{0}[].... | any | what else belongs to a fact of this type: names, the chain that leads to its cause
"""
_STEP = """\
{0}[] | map | a migration
{0}[].number | number | its number
{0}[].name | text | its name
{0}[].about | text | what it does
{0}[].reads | list of text | what it looks at
{0}[].writes | list of text | what it changes
{0}[].wayBack | text or null | how one gets back to an older version after it; null: not at all
{0}[].described | flag | false: nothing but its number is known
"""
_ADDED = """\
written | flag | whether anything was written
sources | list | PackageSources of the files
sources[].name? | text | the name of one
sources[].action? | text | `create`, `update` or `none`
packages | list | every Package of the closure, dependencies first
packages[].name | text | its name
packages[].variant | text | the variant that it has or gets
packages[].why | text | how that was chosen: `asked`, `only`, `default`, `first`, `installed`
packages[].action | text | `create`, `update`, `mark` (it is a mere dependency no more) or `none`
packages[].asked | flag | whether it was named; if not, something needs it
packages[].requiredBy | list of text | the Packages of the closure that need it
warnings | list of text | what should be known
"""

FORMATS: Final[dict[str, str]] = {
    "show": """\
name | text | the name of the package
installed | map or null | the Package; null where it is not installed
installed.variant | text | its variant
installed.ready | text | status of its condition Ready: `True`, `False`, `Unknown`
installed.message | text | what the condition says
installed.asked | flag | false: it was pulled in by what needs it
installed.bundle | text | the Helm release that made it; empty where a person did
installed.ignoreDependencies | list of text | the Packages that it does not wait for
source | map or null | the PackageSource; null where there is none
source.from | text | kind, namespace and name of the repository that its charts come from
source.ready | text | status of its condition Ready
source.message | text | what the condition says
variants | list | what it can be installed as
variants[].name | text | the name of the variant
variants[].installed | flag | whether it is the one that is installed
variants[].dependsOn | list of text | the packages that it needs
variants[].components | list | its parts
variants[].components[].name | text | the name of the component
variants[].components[].chart | text | the folder of its chart
variants[].components[].valuesFiles | list of text | the values files of the chart, in order
variants[].components[].installed | flag | false: an artifact only, or disabled by the Package
variants[].components[].namespace? | text | where its release goes; with the next three where it has one
variants[].components[].release? | text | the name of the release
variants[].components[].privileged? | flag | whether the namespace is labelled privileged
variants[].components[].dependsOn? | list of text | the components that it comes after
neededBy | list | the packages that have a variant which needs it
neededBy[].name | text | the name of one
neededBy[].variants | list of text | its variants that need this one
neededBy[].installed | flag | whether it is installed, in such a variant, and does not ignore it
""",
    "search": """\
[].name | text | the name of a package
[].variants | list of text | its variants
[].installed | text | the variant that is installed; empty where none is
[].foundIn | list of text | where the words were found: `name`, `variant default`, `chart system/db`
""",
    "why": """\
name | text | the name of the package
installed | flag | whether it is installed
asked | flag | whether somebody asked for it by name
bundle | text | the Helm release that made it; empty where a person did
chains | list of lists of text | ways that lead to it, from a Package that nothing needs; shortest first
""",
    "status": """\
packages | list | the Packages, those that need a look first, then by wave
packages[].name | text | its name
packages[].variant | text | its variant
packages[].state | text | `failed`, `held`, `deleting`, `progressing`, `waiting`, `unknown` or `ready`
packages[].reason | text | what it waits for, or what is wrong
packages[].wave | number | the step at which it can be installed, from 1; 0 in a loop
packages[].releases | number | how many releases it has
packages[].releasesReady | number | how many of them are ready
packages[].since | number | when its state last changed, in seconds since 1970; 0 where that is not known
counts | map | how many Packages are in each state; states that none is in are left out
counts.* | number | of this state
waves | number | how many waves there are
remaining | number or null | an estimate of the seconds that are left, by what the same took before; null where nothing is known
""",
    "wait": """\
for | text | the goal: `ready`, `deleted` or `accepted`
reached | flag | whether all got there
waiting | map | those that did not, by name
waiting.* | text | what this one lacks
""",
    "add": _ADDED,
    "import": _ADDED,
    "del": """\
deleted | flag | whether anything was deleted
packages | list | the Packages that go, in order
packages[].step | number | the step at which it goes, from 1; those of one step go together
packages[].name | text | its name
packages[].variant | text | its variant
packages[].because | text | `asked`, `dependent` (it needs one that goes) or `unneeded` (with `--autoremove`)
packages[].needs | list of text | the Packages that go as well and that it needs
packages[].releases | list of text | its HelmReleases, as `namespace/name`
packages[].protected | text | why it takes an extra word; empty where it does not
packages[].bundle | text | the Helm release that may make it again
absent | list of text | names that are not installed
""",
    "teardown": """\
packages | list | the Packages that go, in order
packages[].step | number | the step at which it goes, from 1
packages[].name | text | its name
packages[].variant | text | its variant
suspended | list of text | HelmReleases that are resumed so that they can be uninstalled
sources | list of text | the PackageSources that go
objects | list of text | what goes by name, as `Kind namespace/name`
namespaces | list of text | the namespaces that go with all that is in them
volumes | list of text | the PersistentVolumeClaims whose data are lost
""",
    "set": """\
name | text | the name of the Package
written | flag | whether anything was written
changes | list | what differs in its spec
changes[].path | text | the path of a field
changes[].old? | any | its value before; left out where there was none
changes[].new? | any | its value now; left out where there is none
added | list of text | the Packages that were added because it needs them now
""",
    "upgrade": """\
written | flag | whether anything was asked for
repositories | list | the repositories that the Packages follow
repositories[].kind | text | `OCIRepository` or `GitRepository`
repositories[].namespace | text | its namespace
repositories[].name | text | its name
repositories[].now | text | the revision that was fetched last; empty where there is none
repositories[].to | text | the version that was asked for; empty: the newest that fits
repositories[].packages | list of text | all Packages that follow it
""",
    "rollback": """\
done | flag | whether the releases were rolled back
releases | list | the releases that go back
releases[].release | text | the HelmRelease, as `namespace/name`
releases[].component | text | the component that it is of
releases[].now | number | the revision of Helm that runs
releases[].nowChart | text | its chart
releases[].to | number | the revision that it goes back to
releases[].toChart | text | its chart
releases[].held | flag | whether it was held already
""",
    "plan": """\
changes | flag | whether anything would change; the exit code says the same
objects | list | Packages, PackageSources and namespaces
objects[].kind | text | `Package`, `PackageSource` or `Namespace`
objects[].name | text | its name
objects[].action | text | `add`, `change` or `remove`
objects[].fields? | list | what changes in its spec, as below
objects[].fields[].path | text | the path of a field
objects[].fields[].old? | any | its value before; left out where there was none
objects[].fields[].new? | any | its value after; left out where there is none
releases | list | the HelmReleases that change, by namespace and name
releases[].namespace | text | its namespace
releases[].name | text | its name
releases[].package | text | the Package that it is of
releases[].action | text | `install`, `upgrade` (Helm runs), `update` (Helm has nothing to do), `move` or `remove`
releases[].component? | text | the component that it is of
releases[].fields? | list | what changes in it, as in `objects`
releases[].fields[].path | text | the path of a field
releases[].fields[].old? | any | its value before
releases[].fields[].new? | any | its value after
releases[].chart? | flag | its chart has other content
releases[].movesTo? | text | where it moves to, as `namespace/name`
releases[].destroys? | text | what is lost
releases[].heldBack? | text | why the operator will not do it: the type of a problem
waves | list of lists of text | the Packages with something to do, by the step at which they can go
estimate | map or null | how long it takes; null where nothing is installed or upgraded
estimate.seconds | number | seconds along the critical path
estimate.known | number | how many of its releases were measured before; the others count as the median
estimate.total | number | how many releases it has
estimate.path? | list of text | the releases on it, as `namespace/name`
pending | number | releases that change already, whatever is planned; they are not among `releases`
newProblems | list | what the change breaks
"""
    + _PROBLEM.format("newProblems")
    + """\
solvedProblems | list | what it mends
solvedProblems[].... | any | as in `newProblems`
destructive | list of text | the releases of which something is lost, as `namespace/name`
warnings | list of text | what could not be looked at
details? | list | what is behind each release, where charts were rendered
details[].release | text | the release, as `namespace/name`
details[].error? | text | why it cannot be rendered
details[].values? | list | the values that change
details[].values[].path | text | the path of a value
details[].values[].steps? | list of text | the same, key by key
details[].values[].old? | any | its value before
details[].values[].new? | any | its value after
details[].values[].oldFrom? | text | where it came from: a values file, the values Secret, the Package
details[].values[].newFrom? | text | where it comes from now
details[].values[].hidden? | flag | it comes from a Secret, and is not told
details[].objects? | list | the objects that change, with `--manifests`
details[].objects[].object | text | apiVersion, kind, namespace and name
details[].objects[].action | text | `add`, `change` or `remove`
details[].objects[].lines | list of text | the lines of a unified diff; data of Secrets are hidden
migrations? | map | the migrations between two versions of the platform, with `--repository`
migrations.version | number or null | the version that the cluster is at; null where that is not known
migrations.target | number | the version that it goes to
migrations.enabled | flag | false: they are turned off
migrations.run | list | the steps that would run
"""
    + _STEP.format("migrations.run")
    + """\
migrations.behind | list | the steps that stay done, where the cluster goes back
migrations.behind[].... | any | as in `migrations.run`
migrations.refused | text | why the update would stop; empty where it would not
migrations.advice | text | what to do about that
migrations.rollback | flag | whether the cluster goes back
migrations.oneWay | list of text | the steps that no older version can be relied on after
""",
    "explain": """\
* | list | why the Package of this name is not as it should be, the worst first; nothing where all is well
*[].cause | text | a short name of the cause: `image-not-found`, `missing-dependency`
*[].chain | list | the way from the Package to the object at fault
*[].chain[].object | text | an object, as `Kind/namespace/name`
*[].chain[].says? | text | what it says
*[].message | text | what is wrong
*[].unblock | text | what would mend it
*[].commands? | list of text | what to type, to see more or to mend it
*[].waits? | flag | nothing is wrong, it takes its time; such causes do not make the exit code 2
*[].warning? | flag | something to know, that keeps nothing from being ready; neither do these
""",
    "lint": """\
[].id | text | the rule, which never changes its meaning: `CZ210`
[].rule | text | its name
[].severity | text | `error`, `warning` or `info`
[].file | text | the file; empty where an object is in none
[].line | number | from 1; 0 where it is not known
[].column | number | from 1; 0 where it is not known
[].object | text | the object, as `Kind/name`
[].field | text | the path of the field
[].message | text | what is wrong
[].fix | text | what would mend it
""",
    "lint --rules": """\
[].id | text | the rule
[].rule | text | its name
[].severity | text | `error`, `warning` or `info`
[].about | text | what it finds
""",
    "dot": """\
nodes | list | packages and components
nodes[].id | text | `package` or `package/component`
nodes[].kind | text | `package`, `component` or `missing`
nodes[].label | text | what is written on it
nodes[].package? | text | the package that it is of
nodes[].state? | text | with `--state`: `ready`, `failed`, `waiting`, `progressing`, `absent`
nodes[].note? | text | with `--state` or `-i`: its variant, and what it says
nodes[].critical? | flag | with `--critical-path`: it is on it
edges | list | what depends on what
edges[].source | text | the id of what depends
edges[].target | text | the id of what it depends on
edges[].variants? | list of text | the variants that say so, where not all do
edges[].belongs? | flag | from a component to its package: no dependency
edges[].critical? | flag | with `--critical-path`: it is on it
""",
    "push": """\
repository | text | host and name
tag | text | the tag
digest | text | the digest of the artifact
""",
    "verify": """\
reference | text | the artifact by its digest
files | number | how many files it holds
faults | list of text | what is wrong with the artifact itself
differences | list | what differs from the folder, with `--against`
differences[].path | text | a file
differences[].how | text | as seen from the artifact: `added` to the folder, `removed` from it, or `changed`
annotations | map | the annotations of the artifact
annotations.* | text | what this one says
""",
    "version": """\
cozypkg | text | of this program
python | text | of the Python that runs it
kubernetes? | text | of the cluster, where one was asked
""",
}


def rows(document: str) -> list[tuple[str, str, str]]:
    """Path, type and meaning of each key of a document of ``FORMATS``."""
    return [tuple(line.split(" | ", 2)) for line in FORMATS[document].splitlines()]  # type: ignore[misc]


__all__ = ["FORMATS", "OBJECTS", "rows"]
