package outside

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
)

// metadata answers as Azure's instance metadata service does: only to requests
// that say that they mean it (Metadata: true), and to none that came through a
// proxy.
//
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
type metadata struct {
	nodeOf func(netip.Addr) string
}

var apiVersions = []string{"2017-08-01", "2018-02-01", "2019-06-01", "2020-09-01", "2021-02-01", "2021-12-13"}

func (m metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version := r.URL.Query().Get("api-version")
	switch {
	case r.Header.Get("Metadata") != "true":
		answer(w, http.StatusBadRequest, map[string]any{"error": "the header Metadata: true is missing"})
	case r.Header.Get("X-Forwarded-For") != "":
		answer(w, http.StatusBadRequest, map[string]any{"error": "the request came through a proxy"})
	case r.URL.Path == "/metadata/versions":
		answer(w, http.StatusOK, map[string]any{"apiVersions": apiVersions})
	case !slices.Contains(apiVersions, version):
		answer(w, http.StatusBadRequest, map[string]any{"error": "no such api-version", "newest-versions": apiVersions[len(apiVersions)-3:]})
	case r.URL.Path == "/metadata/instance":
		answer(w, http.StatusOK, m.instance(r))
	case r.URL.Path == "/metadata/identity/oauth2/token":
		answer(w, http.StatusOK, m.token(r))
	default:
		answer(w, http.StatusNotFound, map[string]any{"error": "no such path"})
	}
}

func (m metadata) instance(r *http.Request) map[string]any {
	var node string
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		node = m.nodeOf(from.Addr().Unmap())
	}
	return map[string]any{
		"compute": map[string]any{
			"name": node, "azEnvironment": "BulkheadLab", "location": "lab", "osType": "Linux",
			"provider": "bulkhead", "vmSize": "Standard_Lab",
		},
		"network": map[string]any{"interface": []any{}},
	}
}

// token is what makes the endpoint worth protecting: whoever gets one acts as
// the node. This one opens nothing.
func (m metadata) token(r *http.Request) map[string]any {
	return map[string]any{
		"access_token": "a-token-of-the-lab-that-opens-nothing", "token_type": "Bearer",
		"expires_in": "3599", "resource": r.URL.Query().Get("resource"),
	}
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // into memory
}
