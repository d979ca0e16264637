package listen

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }
