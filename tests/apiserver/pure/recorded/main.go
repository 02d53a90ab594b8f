// Answers requests for server-side apply with the library that kube-apiserver uses, one JSON document a line.
//
// A request has an operation (reset, raw, update, apply), a manager, whether to force, and an object. The answer has the object
// and the field sets of the managers afterwards, or the conflicts. The types are those of schema.json.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

const schemaText = `
types:
- name: root
  map:
    fields:
    - name: a
      type: {scalar: string}
    - name: "n"
      type: {scalar: numeric}
    - name: atomicMap
      type:
        map: {elementType: {scalar: string}, elementRelationship: atomic}
    - name: strMap
      type:
        map: {elementType: {scalar: string}}
    - name: nested
      type: {namedType: nested}
    - name: list
      type:
        list: {elementType: {scalar: string}, elementRelationship: atomic}
    - name: set
      type:
        list: {elementType: {scalar: string}, elementRelationship: associative}
    - name: items
      type:
        list:
          elementType: {namedType: item}
          elementRelationship: associative
          keys: [name]
    - name: free
      type: {namedType: __untyped_deduced_}
- name: nested
  map:
    fields:
    - name: x
      type: {scalar: string}
    - name: "y"
      type: {scalar: string}
    - name: sub
      type:
        map:
          fields:
          - {name: p, type: {scalar: string}}
          - {name: "q", type: {scalar: string}}
- name: item
  map:
    fields:
    - {name: name, type: {scalar: string}}
    - {name: value, type: {scalar: string}}
    - name: inner
      type:
        map: {elementType: {scalar: string}}
    - name: ports
      type:
        list:
          elementType: {namedType: port}
          elementRelationship: associative
          keys: [port, protocol]
- name: port
  map:
    fields:
    - {name: port, type: {scalar: numeric}}
    - {name: protocol, type: {scalar: string}, default: TCP}
    - {name: label, type: {scalar: string}}
- name: __untyped_atomic_
  scalar: untyped
  list:
    elementType: {namedType: __untyped_atomic_}
    elementRelationship: atomic
  map:
    elementType: {namedType: __untyped_atomic_}
    elementRelationship: atomic
- name: __untyped_deduced_
  scalar: untyped
  list:
    elementType: {namedType: __untyped_atomic_}
    elementRelationship: atomic
  map:
    elementType: {namedType: __untyped_deduced_}
    elementRelationship: separable
`

type conv struct{}

func (conv) Convert(o *typed.TypedValue, _ fieldpath.APIVersion) (*typed.TypedValue, error) {
	return o, nil
}
func (conv) IsMissingVersionError(error) bool { return false }

type req struct {
	Op, Manager string
	Force       bool
	Object      any
}

func main() {
	parser, err := typed.NewParser(typed.YAMLObject(schemaText))
	if err != nil {
		panic(err)
	}
	pt := parser.Type("root")
	up := (&merge.UpdaterBuilder{Converter: conv{}, ReturnInputOnNoop: true}).BuildUpdater()
	var live *typed.TypedValue
	managers := fieldpath.ManagedFields{}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	reset := func() {
		live, err = pt.FromUnstructured(map[string]any{})
		if err != nil {
			panic(err)
		}
		managers = fieldpath.ManagedFields{}
	}
	reset()
	for in.Scan() {
		var r req
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			panic(err)
		}
		answer := map[string]any{}
		func() {
			if r.Op == "reset" {
				reset()
				return
			}
			var opts []typed.ValidationOptions
			if r.Op != "apply" {
				opts = append(opts, typed.AllowDuplicates)
			}
			obj, err := pt.FromUnstructured(r.Object, opts...)
			if err != nil {
				answer["error"] = err.Error()
				return
			}
			switch r.Op {
			case "raw":
				live = obj
			case "update":
				n, m, err := up.Update(live, obj, "v1", managers, r.Manager)
				if err != nil {
					answer["error"] = err.Error()
					return
				}
				live, managers = n, m
			case "apply":
				n, m, err := up.Apply(live, obj, "v1", managers.Copy(), r.Manager, r.Force)
				if c, ok := err.(merge.Conflicts); ok {
					list := []string{}
					for _, x := range c {
						list = append(list, x.Manager+" "+x.Path.String())
					}
					sort.Strings(list)
					answer["conflicts"] = list
					return
				}
				if err != nil {
					answer["error"] = err.Error()
					return
				}
				live, managers = n, m
			}
		}()
		ms := map[string]json.RawMessage{}
		for name, set := range managers {
			b, err := set.Set().ToJSON()
			if err != nil {
				panic(err)
			}
			ms[name] = b
		}
		answer["managers"] = ms
		answer["object"] = live.AsValue().Unstructured()
		b, _ := json.Marshal(answer)
		fmt.Fprintln(out, string(b))
		out.Flush()
	}
}
