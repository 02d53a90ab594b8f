// Writes the tables by which bodies of built-in kinds are read: for every kind its messages, for every message the number, the
// JSON name and the type of each field. What it knows it reads from the Go types of Kubernetes, whose tags say both.
//
//	go run . | gzip -9n > ../tables.json.gz
//
// A field is [name, type, flags, go]. The name is empty when the fields of the message belong to the message around it. The type
// is a scalar, a type with a JSON form of its own (time, quantity, ...), or # and the name of a message. Flags: r repeated, m a
// map (from texts to the type), p present even when zero, o left out when zero, e left out when nothing. The last is what Go
// calls the type, for messages to people.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

type tables struct {
	Kinds    map[string]string              `json:"kinds"`
	Messages map[string]map[string][]string `json:"messages"`
}

var special = map[reflect.Type]string{
	reflect.TypeOf(metav1.Time{}):          "time",
	reflect.TypeOf(metav1.MicroTime{}):     "microTime",
	reflect.TypeOf(resource.Quantity{}):    "quantity",
	reflect.TypeOf(intstr.IntOrString{}):   "intOrString",
	reflect.TypeOf(runtime.RawExtension{}): "raw",
	reflect.TypeOf(metav1.FieldsV1{}):      "raw",
}

// Kinds that no URL of its own is for, but that requests hold.
var more = map[string]bool{"DeleteOptions": true, "Scale": true, "TokenRequest": true, "Eviction": true, "Binding": true}

func main() {
	known := scheme.Scheme
	if err := aggregator.AddToScheme(known); err != nil {
		panic(err)
	}
	result := tables{map[string]string{}, map[string]map[string][]string{}}
	for kind, t := range known.AllKnownTypes() {
		stable := !strings.Contains(kind.Version, "alpha") && !strings.Contains(kind.Version, "beta")
		helper := strings.HasSuffix(kind.Kind, "List") || strings.HasSuffix(kind.Kind, "Options") || kind.Kind == "WatchEvent"
		if !stable || kind.Version == "__internal" || (helper && !more[kind.Kind]) || (kind.Kind == "DeleteOptions" && kind.Group != "") {
			continue
		}
		version, name := kind.GroupVersion().String(), kind.Kind
		result.Kinds[version+" "+name] = result.message(t)
	}
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(result); err != nil {
		panic(err)
	}
}

func (r *tables) message(t reflect.Type) string {
	path := strings.Split(t.PkgPath(), "/")
	name := strings.Join(append(path[len(path)-2:], t.Name()), ".")
	if _, done := r.Messages[name]; done {
		return name
	}
	fields := map[string][]string{}
	r.Messages[name] = fields
	if t.Kind() == reflect.Slice {
		what, flags := r.value(t.Elem())
		fields["1"] = []string{"items", what, flags + "r", t.String()}
		return name
	}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		tag := field.Tag.Get("protobuf")
		if tag == "" {
			continue
		}
		number := strings.Split(tag, ",")[1]
		if _, err := strconv.Atoi(number); err != nil {
			panic(fmt.Sprintf("%s.%s: %s", name, field.Name, tag))
		}
		parts := strings.Split(field.Tag.Get("json"), ",")
		omit := false
		for _, option := range parts[1:] {
			omit = omit || option == "omitzero" || (option == "omitempty" && field.Type.Kind() != reflect.Struct)
		}
		what, flags := r.value(field.Type)
		switch {
		case omit && flags == "":
			flags = "o"
		case omit:
			flags += "e"
		}
		named := field.Type
		if named.Kind() == reflect.Pointer {
			named = named.Elem()
		}
		fields[number] = []string{parts[0], what, flags, named.String()}
	}
	return name
}

func (r *tables) value(t reflect.Type) (string, string) {
	if what, ok := special[t]; ok {
		return what, ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		what, _ := r.value(t.Elem())
		return what, "p"
	case reflect.String:
		return "string", ""
	case reflect.Bool:
		return "bool", ""
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int", ""
	case reflect.Struct:
		return "#" + r.message(t), ""
	case reflect.Map:
		what, _ := r.value(t.Elem())
		return what, "m"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes", ""
		}
		if _, wrapped := reflect.PointerTo(t).MethodByName("Marshal"); wrapped {
			return "#" + r.message(t), ""
		}
		what, _ := r.value(t.Elem())
		return what, "r"
	}
	panic("no table for " + t.String())
}
