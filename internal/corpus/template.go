package corpus

import (
	"fmt"
	"strings"

	"concord/internal/chat"
	"concord/internal/data"
)

// rendering says how the conversations of a set became text, or that a chat template
// has nothing to render.
func (c *Corpus) rendering(s *data.Set) string {
	chats := s.TrainStats.Chats + s.HeldoutStats.Chats
	switch {
	case c.Template == nil:
		return ""
	case chats == 0:
		return fmt.Sprintf("no conversations: the chat template of %s is not used, text and answers are taken as they stand "+
			"(ask with generate --raw)", c.Template.From)
	}
	marked, prefix := s.TrainStats.ByMarks+s.HeldoutStats.ByMarks, s.TrainStats.ByPrefix+s.HeldoutStats.ByPrefix
	var ways []string
	for _, w := range []struct {
		n   int
		how string
	}{{marked, "marked by " + chat.ByGeneration}, {chats - marked - prefix, "in a known format"}, {prefix, "found turn by turn"}} {
		if w.n > 0 {
			ways = append(ways, w.how)
		}
	}
	return fmt.Sprintf("rendered by the chat template of %s; the assistant's turns are %s", c.Template.From, strings.Join(ways, ", or "))
}

// OnlyChats reports whether all documents are conversations.
func (c *Corpus) OnlyChats() bool {
	for _, s := range c.Sets {
		for _, n := range []data.Stats{s.TrainStats, s.HeldoutStats} {
			if n.Docs != n.Chats+n.Empty {
				return false
			}
		}
	}
	return true
}
