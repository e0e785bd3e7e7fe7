// Package compose turns a recipient into a message: templates, MIME, headers.
package compose
