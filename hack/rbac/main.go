// Command rbac prints upstream's default roles and bindings as the table that src/apiserver reads. Give it the folder of
// the golden files with which upstream's own tests pin them (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata):
// reading those is exact and spares compiling half of Kubernetes. The table's first lines say how it is written.
//
// Whatever a line cannot express ends the program, so that nothing is lost silently.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const head = `# Upstream's default roles and bindings of v1.36 (facts of plugin/pkg/auth/authorizer/rbac/bootstrappolicy).
# clusterrole NAME [label KEY]... | role NAMESPACE NAME | clusterbinding NAME ROLE SUBJECT... | binding NAMESPACE NAME KIND/ROLE SUBJECT...
#   aggregate KEY             the roles whose label KEY is "true"
#   VERBS GROUPS RESOURCES [NAMES]   a rule; - is the core group
#   VERBS url PATHS
# Written by hack/rbac/generate.
`

func main() {
	if len(os.Args) != 2 {
		fail("usage: rbac FOLDER")
	}
	folder := os.Args[1]
	fmt.Print(head)
	for _, file := range []string{"cluster-roles.yaml", "controller-roles.yaml"} {
		for _, role := range read[rbacv1.ClusterRole](folder, file) {
			clusterRole(role)
		}
	}
	for _, role := range read[rbacv1.Role](folder, "namespace-roles.yaml") {
		fmt.Println("role", role.Namespace, role.Name)
		rules(role.Rules)
	}
	for _, file := range []string{"cluster-role-bindings.yaml", "controller-role-bindings.yaml"} {
		for _, binding := range read[rbacv1.ClusterRoleBinding](folder, file) {
			if binding.RoleRef.Kind != "ClusterRole" {
				fail("%s refers to a %s", binding.Name, binding.RoleRef.Kind)
			}
			fmt.Println("clusterbinding", binding.Name, binding.RoleRef.Name+subjects(binding.Subjects))
		}
	}
	for _, binding := range read[rbacv1.RoleBinding](folder, "namespace-role-bindings.yaml") {
		role := binding.RoleRef.Kind + "/" + binding.RoleRef.Name
		fmt.Println("binding", binding.Namespace, binding.Name, role+subjects(binding.Subjects))
	}
}

// read gives the items of a list; fields that T does not know are an error.
func read[T any](folder, file string) []T {
	text, err := os.ReadFile(filepath.Join(folder, file))
	must(err)
	var list struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []T `json:"items"`
	}
	must(yaml.UnmarshalStrict(text, &list))
	return list.Items
}

func clusterRole(role rbacv1.ClusterRole) {
	line := "clusterrole " + role.Name
	for _, key := range sorted(role.Labels) {
		if key == "kubernetes.io/bootstrapping" {
			continue // all have it
		}
		if role.Labels[key] != "true" {
			fail("label %s=%s of %s", key, role.Labels[key], role.Name)
		}
		line += " label " + key
	}
	fmt.Println(line)
	if role.AggregationRule != nil {
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			if len(selector.MatchLabels) != 1 || len(selector.MatchExpressions) != 0 {
				fail("a selector of %s", role.Name)
			}
			for key, value := range selector.MatchLabels {
				if value != "true" {
					fail("a selector of %s", role.Name)
				}
				fmt.Println("  aggregate", key)
			}
		}
	}
	rules(role.Rules)
}

func rules(rules []rbacv1.PolicyRule) {
	for _, rule := range rules {
		verbs := strings.Join(rule.Verbs, ",")
		if len(rule.NonResourceURLs) > 0 {
			fmt.Println(" ", verbs, "url", strings.Join(rule.NonResourceURLs, ","))
			continue
		}
		groups := slices.Clone(rule.APIGroups)
		for at, group := range groups {
			if group == "" {
				groups[at] = "-"
			}
		}
		line := strings.Join([]string{" ", verbs, strings.Join(groups, ","), strings.Join(rule.Resources, ",")}, " ")
		if len(rule.ResourceNames) > 0 {
			line += " " + strings.Join(rule.ResourceNames, ",")
		}
		fmt.Println(line)
	}
}

func subjects(subjects []rbacv1.Subject) string {
	var line string
	for _, subject := range subjects {
		switch subject.Kind {
		case rbacv1.UserKind, rbacv1.GroupKind:
			line += " " + strings.ToLower(subject.Kind) + ":" + subject.Name
		case rbacv1.ServiceAccountKind:
			line += " sa:" + subject.Namespace + ":" + subject.Name
		default:
			fail("a subject of kind %s", subject.Kind)
		}
	}
	return line
}

func sorted(labels map[string]string) []string {
	var keys []string
	for key := range labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
