"""What component tests stand on: a real etcd and kube-apiserver, and a proxy that misbehaves on demand.

processes   child processes that end with the tests, and free loopback ports
pki         certificates by openssl
cluster     Cluster: the API server, its users, namespaces, CRD and audit log
proxy       FaultyProxy: stands before the API server and answers wrongly, hangs, cuts, refuses
"""
