{{/*
The name that resembles another most, for sentences about mistakes; empty when none does: list NAME CANDIDATES
Two names are compared by the pairs of letters that they share.
*/}}
{{- define "installer.nearest" -}}
{{- $wanted := include "installer.pairs" (index . 0) | fromJsonArray -}}
{{- $best := dict "name" "" "score" 39 -}}
{{- range $candidate := index . 1 | sortAlpha -}}
{{- $rest := include "installer.pairs" $candidate | fromJsonArray -}}
{{- $total := add (len $wanted) (len $rest) -}}
{{- $shared := 0 -}}
{{- range $wanted -}}
{{- if has . $rest -}}
{{- $shared = add1 $shared -}}
{{- $rest = without $rest . -}}
{{- end -}}
{{- end -}}
{{- $score := div (mul 200 $shared) (max 1 $total) | int -}}
{{- if gt $score (get $best "score" | int) -}}
{{- $_ := set $best "name" $candidate -}}
{{- $_ := set $best "score" $score -}}
{{- end -}}
{{- end -}}
{{- get $best "name" -}}
{{- end -}}

{{/* The pairs of neighbouring letters of a name, in lower case. */}}
{{- define "installer.pairs" -}}
{{- $text := lower . -}}
{{- $pairs := list -}}
{{- if ge (len $text) 2 -}}
{{- range until (sub (len $text) 1 | int) }}{{ $pairs = append $pairs (substr . (add . 2 | int) $text) }}{{ end -}}
{{- end -}}
{{- toJson $pairs -}}
{{- end -}}

{{/* "; did you mean X?" or nothing: list NAME CANDIDATES */}}
{{- define "installer.meant" -}}
{{- with include "installer.nearest" . }}; did you mean {{ . }}?{{ end -}}
{{- end -}}

{{/*
Refuse values that no template reads. values.schema.json checks the types; a name that is not in it is looked up here, where the
nearest one can be said. known.yaml holds the names, and those of the original that mean nothing here.
*/}}
{{- define "installer.values.check" -}}
{{- $known := .Files.Get "known.yaml" | fromYaml -}}
{{- $state := dict "faults" list "root" $known.keys "foreign" $known.foreign -}}
{{- include "installer.values.walk" (dict "state" $state "values" .Values "keys" $known.keys "path" "") -}}
{{- if $state.faults }}{{ fail (join "\n" $state.faults) }}{{ end -}}
{{- end -}}

{{- define "installer.values.walk" -}}
{{- $state := .state -}}
{{- $keys := .keys -}}
{{- $prefix := .path -}}
{{- range $name, $value := .values -}}
{{- $path := printf "%s%s" $prefix $name -}}
{{- $inner := get $keys $name -}}
{{- if not (hasKey $keys $name) -}}
{{- $why := get $state.foreign $path -}}
{{- if not $why -}}
{{- $near := include "installer.nearest" (list $name (keys $keys)) -}}
{{- $why = ternary (printf "; did you mean %s%s?" $prefix $near) "" (not (empty $near)) -}}
{{- if not $near -}}
{{- with include "installer.values.elsewhere" (dict "name" $name "keys" $state.root "path" "") | fromJsonArray -}}
{{- $why = printf "; did you mean %s?" (join " or " .) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $why = printf ": %s" $why -}}
{{- end -}}
{{- $_ := set $state "faults" (append $state.faults (printf "%s is not a value of the installer%s" $path $why)) -}}
{{- else if and (kindIs "map" $inner) (kindIs "map" $value) -}}
{{- include "installer.values.walk" (dict "state" $state "values" $value "keys" $inner "path" (printf "%s." $path)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where else a name is known, as JSON list of paths: dict "name" NAME "keys" TREE "path" PREFIX */}}
{{- define "installer.values.elsewhere" -}}
{{- $found := list -}}
{{- $wanted := .name -}}
{{- $prefix := .path -}}
{{- range $name, $inner := .keys -}}
{{- if eq $name $wanted }}{{ $found = append $found (printf "%s%s" $prefix $name) }}{{ end -}}
{{- if kindIs "map" $inner -}}
{{- $found = concat $found (include "installer.values.elsewhere" (dict "name" $wanted "keys" $inner "path" (printf "%s%s." $prefix $name)) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
