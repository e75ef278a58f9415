package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"concord/internal/cluster"
	"concord/internal/cluster/protocol"
	"concord/internal/config"
)

// A machine 1 cannot have a worker read a file outside of the run's folder, whichever
// setting names it.
func TestReceiveTakesLocalPathsOnly(t *testing.T) {
	for _, path := range []string{"/etc/hostname", "../secret", "data/../../secret"} {
		for name, set := range map[string]func(c *config.Config){
			"model.path":    func(c *config.Config) { c.Model.Path = path },
			"data.template": func(c *config.Config) { c.Data.Template = path },
			"path":          func(c *config.Config) { c.Data.Source[0].Path = config.Paths{path} },
			"heldout":       func(c *config.Config) { c.Data.Source[0].Heldout = config.Paths{path} },
		} {
			c := config.Default()
			c.Model.Path, c.Data.Source = "model", []config.Source{{Lang: "sw", Train: true, Path: config.Paths{"data/0"}}}
			set(c)
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			w := &cluster.Joined{Welcome: protocol.Welcome{Config: b}}
			_, err = receive(t.Context(), w, t.TempDir(), nil, nil, UI{Quiet: true})
			if !errors.Is(err, ErrCluster) || !strings.Contains(err.Error(), fmt.Sprintf("names the path %q", path)) {
				t.Errorf("%s = %q: %v", name, path, err)
			}
		}
	}
}
