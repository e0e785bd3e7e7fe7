// Package rsa8 makes RSA signatures (PKCS#1 v1.5 with SHA-256) in batches.
package rsa8
