package main

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/printers"
	"k8s.io/kubernetes/pkg/printers/internalversion"
)

// What the server would choose by chance or by its clock.
const (
	uid    = "3b1c2b3e-0000-4000-8000-000000000000"
	suffix = "xxxxx"
)

var created = metav1.NewTime(time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC))

var tables = printers.NewTableGenerator().With(internalversion.AddHandlers)

// judge carries an object through the server's stages, from the decoded body to what would be stored.
func judge(q question) answer {
	gvk := schema.FromAPIVersionAndKind(q.APIVersion, q.Kind)
	kind, ok := kinds[gvk]
	if !ok {
		panic("no such kind: " + gvk.String())
	}
	obj, err := decoded(gvk, q.Object)
	if err != nil {
		return answer{Undecodable: err.Error()}
	}
	if kind.review != nil {
		return withoutTable(outcome(gvk, obj, func(_ context.Context, obj runtime.Object) error {
			if errs := kind.review(obj); len(errs) > 0 {
				return errors.NewInvalid(gvk.GroupKind(), "", errs)
			}
			return nil
		}))
	}
	return judgeStored(q, gvk, kind, obj)
}

// judgeStored is judge for what is stored, with the forms in which it is.
func judgeStored(q question, gvk schema.GroupVersionKind, kind kind, obj runtime.Object) answer {
	a := judgeStrategy(q, gvk, kind, obj)
	if a.Undecodable == "" && a.Status == nil {
		_, a.Fields, _ = attributes(kind, obj)
		a.Object, a.Protobuf = kept(gvk, obj)
	}
	return a
}

func judgeStrategy(q question, gvk schema.GroupVersionKind, kind kind, obj runtime.Object) answer {
	if q.Ask == "create" {
		initialise(kind, obj)
		return outcome(gvk, obj, func(ctx context.Context, obj runtime.Object) error {
			if kind.begin != nil {
				if err := kind.begin(obj, nil); err != nil {
					return err
				}
			}
			return rest.BeforeCreate(kind.strategy, ctx, obj)
		})
	}
	old, err := stored(gvk, kind, q.Old)
	if err != nil {
		return answer{Undecodable: "old: " + err.Error()}
	}
	strategy := kind.strategy.(rest.RESTUpdateStrategy)
	switch q.Ask {
	case "status":
		strategy = kind.status
	case "approval":
		strategy = kind.approval
	}
	accessor(obj).SetUID(uid)
	accessor(obj).SetResourceVersion("1")
	return outcome(gvk, obj, func(ctx context.Context, obj runtime.Object) error {
		old := old.DeepCopyObject()
		if kind.begin != nil && q.Ask == "update" {
			if err := kind.begin(obj, old); err != nil {
				return err
			}
		}
		return rest.BeforeUpdate(strategy, ctx, obj, old)
	})
}

// withoutTable leaves out the table, which what is not stored has not.
func withoutTable(a answer) answer {
	a.Columns, a.Cells = nil, nil
	return a
}

// decoded reads a body and fills in the defaults of its version.
func decoded(gvk schema.GroupVersionKind, body []byte) (runtime.Object, error) {
	obj, _, err := legacyscheme.Codecs.UniversalDecoder().Decode(body, &gvk, nil)
	if err != nil {
		return nil, err
	}
	accessor(obj).SetManagedFields(nil)
	return obj, nil
}

// initialise does what the generic store does before the strategy is asked.
func initialise(kind kind, obj runtime.Object) {
	m := accessor(obj)
	rest.WipeObjectMetaSystemFields(m)
	m.SetUID(uid)
	m.SetCreationTimestamp(created)
	m.SetResourceVersion("")
	if base := m.GetGenerateName(); base != "" && m.GetName() == "" {
		name := base[:min(len(base), 63-len(suffix))] + suffix
		if kind.strategy.GenerateName(base) == base {
			name = base // the kind's names get no suffix
		}
		m.SetName(name)
	}
}

// store makes of a decoded object one that has been created, whether it is valid or not, with the status it came with.
func store(gvk schema.GroupVersionKind, kind kind, obj runtime.Object) {
	status := statusField(obj.DeepCopyObject())
	initialise(kind, obj)
	if kind.begin != nil {
		_ = kind.begin(obj, nil) // whether it is valid or not
	}
	kind.strategy.PrepareForCreate(contextFor(gvk, obj, nil), obj)
	if status.IsValid() {
		statusField(obj).Set(status)
	}
	accessor(obj).SetResourceVersion("1")
}

// stored makes of a body the object that is read back after it has been created.
func stored(gvk schema.GroupVersionKind, kind kind, body []byte) (runtime.Object, error) {
	obj, err := decoded(gvk, body)
	if err != nil {
		return nil, err
	}
	store(gvk, kind, obj)
	text, _ := kept(gvk, obj)
	return decoded(gvk, text)
}

func statusField(obj runtime.Object) reflect.Value {
	return reflect.ValueOf(obj).Elem().FieldByName("Status")
}

// outcome runs a stage and says all that a client sees of it.
func outcome(gvk schema.GroupVersionKind, obj runtime.Object, stage func(context.Context, runtime.Object) error) answer {
	fresh := obj.DeepCopyObject()
	warned := &recorder{}
	err := stage(contextFor(gvk, obj, warned), obj)
	a := answer{Status: statusOf(err), Warnings: warned.texts, Object: encoded(gvk, obj)}
	for i := 0; i < 24 && !a.Unordered && (err != nil || len(a.Warnings) > 1); i++ {
		again, warnedAgain := fresh.DeepCopyObject(), &recorder{}
		status := statusOf(stage(contextFor(gvk, again, warnedAgain), again))
		a.Unordered = !reflect.DeepEqual(a.Status, status) || !reflect.DeepEqual(a.Warnings, warnedAgain.texts)
	}
	if table, err := tables.GenerateTable(obj, printers.GenerateOptions{Wide: true}); err == nil && len(table.Rows) == 1 {
		a.Columns, a.Cells = table.ColumnDefinitions, table.Rows[0].Cells
	}
	return a
}

// contextFor is the context of a request about the object, in the object's own namespace.
func contextFor(gvk schema.GroupVersionKind, obj runtime.Object, warned warning.Recorder) context.Context {
	namespace := accessor(obj).GetNamespace()
	ctx := request.WithNamespace(context.Background(), namespace)
	ctx = request.WithUser(ctx, &user.DefaultInfo{Name: "oracle"})
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{
		IsResourceRequest: true,
		APIGroup:          gvk.Group,
		APIVersion:        gvk.Version,
		Namespace:         namespace,
		Name:              accessor(obj).GetName(),
	})
	if warned != nil {
		ctx = warning.WithWarningRecorder(ctx, warned)
	}
	return ctx
}

func encoded(gvk schema.GroupVersionKind, obj runtime.Object) json.RawMessage {
	versioned, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(), gvk.GroupVersion())
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(versioned)
	if err != nil {
		panic(err)
	}
	return text
}

// kept is the object as it comes back from the storage, which is protobuf, and the message that its JSON has. Nothing but
// empty bytes, which JSON leaves out, lies there otherwise.
func kept(gvk schema.GroupVersionKind, obj runtime.Object) (json.RawMessage, []byte) {
	versioned, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(), gvk.GroupVersion())
	if err != nil {
		panic(err)
	}
	again, read := reflect.New(reflect.TypeOf(versioned).Elem()), reflect.New(reflect.TypeOf(versioned).Elem())
	if err := again.Interface().(message).Unmarshal(marshalled(versioned)); err != nil {
		panic(err)
	}
	again.Interface().(runtime.Object).GetObjectKind().SetGroupVersionKind(gvk)
	text, err := json.Marshal(again.Interface())
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(text, read.Interface()); err != nil {
		panic(err)
	}
	return text, marshalled(read.Interface())
}

type message interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

func marshalled(of any) []byte {
	bytes, err := of.(message).Marshal()
	if err != nil {
		panic(err)
	}
	return bytes
}

// attributes is what watchers and lists select by.
func attributes(kind kind, obj runtime.Object) (labels.Set, fields.Set, error) {
	if kind.attributes != nil {
		return kind.attributes(obj)
	}
	if kind.strategy.NamespaceScoped() {
		return storage.DefaultNamespaceScopedAttr(obj)
	}
	return storage.DefaultClusterScopedAttr(obj)
}

// fieldLabel says under which name objects keep a field that a request selects by, or why it may not.
func fieldLabel(q question) answer {
	var label string
	if err := json.Unmarshal(q.Object, &label); err != nil {
		panic(err)
	}
	gvk := schema.FromAPIVersionAndKind(q.APIVersion, q.Kind)
	name, _, err := legacyscheme.Scheme.ConvertFieldLabel(gvk, label, "x")
	if err != nil {
		return answer{Undecodable: err.Error()}
	}
	return answer{Warnings: []string{name}}
}

func accessor(obj runtime.Object) metav1.Object {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err)
	}
	return m
}

type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }
