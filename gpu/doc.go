// Package gpu runs compute kernels on a GPU through WebGPU.
package gpu
