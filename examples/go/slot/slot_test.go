package slot

import (
	"encoding/json"
	"os"
	"testing"
)

func TestSlotsAreThoseOfTheVectors(t *testing.T) {
	data, err := os.ReadFile("../../../docs/slot-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		UID   string
		Slots uint64
		Slot  uint64
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("there are no vectors")
	}
	for _, vector := range vectors {
		if slot := Of(vector.UID, vector.Slots); slot != vector.Slot {
			t.Errorf("the slot of %q among %d is %d, not %d", vector.UID, vector.Slots, vector.Slot, slot)
		}
	}
}
