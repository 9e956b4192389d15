//go:build tools

// Package tools pins Helm for the chart's tests and the scenarios.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
