// Nothing is built of it: its go.sum vouches for the versions of k8s.io/kubernetes whose description of the API the
// chart's manifests are checked against (lab/openapi.py).
module contex.io/lab/openapi

go 1.26.0
