"""The project against the real thing: a Kubernetes control plane and Flux, built from Go modules, on loopback.

=================  ==========================================================================
``build``          the programs, built once for each version of the module files
``certificates``   the authorities and keys of one cluster
``state``          the folder of one cluster: files, ports, what runs
``controlplane``   etcd, kube-apiserver and kube-controller-manager as processes
``egress``         what the API server finds behind webhooks and aggregated APIs
``node``           the kubelet stand-in: Pods of the project and of Flux run as processes
``cluster``        all of it together, kept alive until it is told to stop
``acme``           package repositories for tests
``running``        all tests, one part after the other
``client``         what tests and benchmarks do with a cluster
``audit``          what the API server was asked for, and by whom
=================  ==========================================================================
"""
