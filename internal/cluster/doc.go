// Package cluster gives a machine its place in a run on many machines.
//
// Host is machine 1 (a coordinator and a worker in one process), Peer one of several
// equal machines under a leader, Joined a machine that was let in by a join line.
// Each has its identity, its socket and its files here. Plans and commits are made in
// package coordinator, steps in package worker; both speak the messages of package
// protocol.
package cluster
