// What KubeRay itself makes of specs of RayClusters, a JSON object a line: the hash of each, and what becomes of a cluster
// of the first one, which serves, once its RayService has this one: nothing, updated or another.
//
//	hashing < specs
//	hashing structs      how Go writes what it has read into a spec: the fields of each struct
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	_ "unsafe" // for go:linkname

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	_ "github.com/ray-project/kuberay/ray-operator/controllers/ray"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
)

//go:linkname constructRayClusterForRayService github.com/ray-project/kuberay/ray-operator/controllers/ray.constructRayClusterForRayService
func constructRayClusterForRayService(*rayv1.RayService, string, *runtime.Scheme) (*rayv1.RayCluster, error)

//go:linkname shouldUpdateCluster github.com/ray-project/kuberay/ray-operator/controllers/ray.shouldUpdateCluster
func shouldUpdateCluster(*rayv1.RayService, *rayv1.RayCluster, bool) bool

//go:linkname shouldPrepareNewCluster github.com/ray-project/kuberay/ray-operator/controllers/ray.shouldPrepareNewCluster
func shouldPrepareNewCluster(context.Context, *rayv1.RayService, *rayv1.RayCluster, *rayv1.RayCluster, bool) bool

type answer struct {
	Hash    string `json:"hash"`
	Verdict string `json:"verdict"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "structs" {
		must(json.NewEncoder(os.Stdout).Encode(structs(rayv1.RayServiceSpec{})))
		return
	}
	scheme := runtime.NewScheme()
	must(rayv1.AddToScheme(scheme))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	answers := json.NewEncoder(os.Stdout)
	var first *rayv1.RayClusterSpec
	for lines.Scan() {
		var spec rayv1.RayClusterSpec
		must(kjson.UnmarshalCaseSensitivePreserveInts(lines.Bytes(), &spec)) // as client-go does
		if first == nil {
			first = &spec
		}
		hash, err := utils.GenerateHashWithoutReplicasAndWorkersToDelete(spec)
		must(err)
		must(answers.Encode(answer{Hash: hash, Verdict: verdict(*first, spec, scheme)}))
	}
	must(lines.Err())
}

// In the order of the controller, which looks anew after an update.
func verdict(spec, goal rayv1.RayClusterSpec, scheme *runtime.Scheme) string {
	service := &rayv1.RayService{Spec: rayv1.RayServiceSpec{RayClusterSpec: spec}}
	active, err := constructRayClusterForRayService(service, "active", scheme)
	must(err)
	service.Spec.RayClusterSpec = goal
	if shouldUpdateCluster(service, active, true) {
		return "updated"
	}
	if shouldPrepareNewCluster(context.Background(), service, active, nil, false) {
		return "another"
	}
	return "nothing"
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
