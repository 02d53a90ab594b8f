// Command recorder answers questions about CEL with kube-apiserver's own libraries: one JSON object a line in, one out.
//
// A question is an expression (over a schema and a value), a value to validate by the rules of a schema, or a CRD.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/warning"
)

type question struct {
	Mode   string                    `json:"mode"`
	Schema *apiextv1.JSONSchemaProps `json:"schema"`
	CRD    *apiextv1.CustomResourceDefinition
	OldCRD *apiextv1.CustomResourceDefinition
	Expr   string                 `json:"expr"`
	Dyn    bool                   `json:"dyn"`
	Vars   map[string]interface{} `json:"vars"`
	Self   interface{}            `json:"self"`
	Old    interface{}            `json:"old"`
	Root   bool                   `json:"root"`
}

type answer struct {
	Compile   string   `json:"compile,omitempty"`
	Type      string   `json:"type,omitempty"`
	Min       uint64   `json:"min"`
	Max       uint64   `json:"max"`
	Cost      uint64   `json:"cost"`
	Value     string   `json:"value,omitempty"`
	Error     string   `json:"error,omitempty"`
	Errors    []string `json:"errors,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Remaining int64    `json:"remaining,omitempty"`
}

type sizes struct{ root *apiservercel.DeclType }

func (c *sizes) EstimateSize(element checker.AstNode) *checker.SizeEstimate {
	if c.root == nil || len(element.Path()) == 0 {
		return nil
	}
	node := c.root
	for _, name := range element.Path()[1:] {
		switch name {
		case "@items", "@values":
			if node.ElemType == nil {
				return nil
			}
			node = node.ElemType
		case "@keys":
			if node.KeyType == nil {
				return nil
			}
			node = node.KeyType
		default:
			f, ok := node.Fields[name]
			if !ok || f.Type == nil {
				return nil
			}
			node = f.Type
		}
	}
	return &checker.SizeEstimate{Min: 0, Max: uint64(node.MaxElements)}
}
func (c *sizes) EstimateCallCost(function, overloadID string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	return nil
}

type warner struct{ said []string }

func (w *warner) AddWarning(agent, text string) { w.said = append(w.said, text) }

func structural(props *apiextv1.JSONSchemaProps) (*schema.Structural, error) {
	var internal apiext.JSONSchemaProps
	if err := apiextv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return nil, err
	}
	return schema.NewStructural(&internal)
}

// Numbers arrive as they do from YAML or JSON in kube-apiserver: integers as int64.
func numbers(v interface{}) interface{} {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]interface{}:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []interface{}:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func evaluate(q *question) (a answer) {
	base := environment.MustBaseEnvSet(version.MajorMinor(1, 37))
	vars := map[string]interface{}{}
	var opts []cel.EnvOption
	var decls []*apiservercel.DeclType
	var root *apiservercel.DeclType
	if q.Schema != nil {
		s, err := structural(q.Schema)
		if err != nil {
			a.Compile = "schema: " + err.Error()
			return
		}
		root = model.SchemaDeclType(s, q.Root).MaybeAssignTypeName("selfType")
		decls = append(decls, root)
		opts = append(opts, cel.Variable("self", root.CelType()), cel.Variable("oldSelf", root.CelType()))
		vars["self"] = schemacel.UnstructuredToVal(q.Self, s)
		if q.Old != nil {
			vars["oldSelf"] = schemacel.UnstructuredToVal(q.Old, s)
		}
	}
	for name, value := range q.Vars {
		opts = append(opts, cel.Variable(name, cel.DynType))
		vars[name] = value
	}
	set, err := base.Extend(environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: opts, DeclTypes: decls})
	if err != nil {
		a.Compile = "env: " + err.Error()
		return
	}
	env := set.NewExpressionsEnv()
	ast, issues := env.Compile(q.Expr)
	if issues != nil {
		a.Compile = issues.String()
		return
	}
	a.Type = ast.OutputType().String()
	estimator := &library.CostEstimator{SizeEstimator: &sizes{root}}
	prog, err := env.Program(ast, cel.CostLimit(1000000), cel.CostTracking(estimator), cel.InterruptCheckFrequency(100))
	if err != nil {
		a.Compile = "program: " + err.Error()
		return
	}
	est, err := env.EstimateCost(ast, estimator)
	if err != nil {
		a.Compile = "cost: " + err.Error()
		return
	}
	a.Min, a.Max = est.Min, est.Max
	val, details, err := prog.ContextEval(context.Background(), vars)
	if details != nil && details.ActualCost() != nil {
		a.Cost = *details.ActualCost()
	}
	if err != nil {
		a.Error = err.Error()
		return
	}
	a.Value = show(val)
	return
}

func show(v ref.Val) string {
	switch t := v.(type) {
	case types.String:
		return fmt.Sprintf("%q", string(t))
	}
	return fmt.Sprintf("%v %v", v.Type().TypeName(), native(v))
}

func native(v ref.Val) interface{} {
	if n, ok := v.Value().(fmt.Stringer); ok {
		return n.String()
	}
	if l, ok := v.(interface {
		Size() ref.Val
		Get(ref.Val) ref.Val
	}); ok && v.Type() == types.ListType {
		out := []string{}
		n := int(l.Size().(types.Int))
		for i := 0; i < n; i++ {
			out = append(out, show(l.Get(types.Int(i))))
		}
		return out
	}
	if v.Type() == types.MapType {
		return "map"
	}
	return v.Value()
}

func validate(q *question) (a answer) {
	s, err := structural(q.Schema)
	if err != nil {
		a.Compile = "schema: " + err.Error()
		return
	}
	v := schemacel.NewValidator(s, q.Root, 1000000)
	if v == nil {
		a.Compile = "no rules"
		return
	}
	w := &warner{}
	ctx := warning.WithWarningRecorder(context.Background(), w)
	var opts []schemacel.Option
	if q.Old != nil {
		opts = append(opts, schemacel.WithRatcheting(common.NewCorrelatedObject(q.Self, q.Old, &model.Structural{Structural: s})))
	}
	var path *field.Path
	errs, remaining := v.Validate(ctx, path, s, q.Self, q.Old, 10000000, opts...)
	for _, e := range errs {
		a.Errors = append(a.Errors, e.Error())
	}
	a.Warnings = w.said
	a.Remaining = remaining
	return
}

func definition(q *question) (a answer) {
	apiextv1.SetDefaults_CustomResourceDefinition(q.CRD)
	apiextv1.SetDefaults_CustomResourceDefinitionSpec(&q.CRD.Spec)
	var internal apiext.CustomResourceDefinition
	if err := apiextv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(q.CRD, &internal, nil); err != nil {
		a.Compile = err.Error()
		return
	}
	for _, e := range validation.ValidateCustomResourceDefinition(context.Background(), &internal) {
		a.Errors = append(a.Errors, e.Error())
	}
	return
}

func main() {
	_ = runtime.Object(nil)
	in := bufio.NewReaderSize(os.Stdin, 1<<24)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	dec := json.NewDecoder(in)
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return
		}
		q := &question{}
		if err := json.Unmarshal(raw, q); err != nil {
			_ = out.Encode(answer{Compile: "question: " + err.Error()})
			continue
		}
		// Once more, for exact numbers.
		exact := struct {
			Self, Old interface{}
			Vars      map[string]interface{}
		}{}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		_ = d.Decode(&exact)
		q.Self, q.Old = numbers(exact.Self), numbers(exact.Old)
		q.Vars, _ = numbers(exact.Vars).(map[string]interface{})
		switch q.Mode {
		case "validate":
			_ = out.Encode(validate(q))
		case "crd":
			_ = out.Encode(definition(q))
		default:
			_ = out.Encode(evaluate(q))
		}
	}
}
