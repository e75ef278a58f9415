// Package chat turns conversations into the text that a model sees, and says
// which of it the assistant says.
//
// A Conversation is a list of messages; readers of data files make them. The text
// is the output of the model's own chat template (Find, Read, Builtin), as
// transformers' apply_chat_template does. Train finds the assistant's turns in
// the text in one of three ways:
//
//  1. the template marks them itself, by {% generation %} (the author's word);
//  2. the text has turns of a known format (formats.go), each of them between its
//     header and its end, as many as there are assistant turns, and the template
//     asks for an answer with the same text (Way "ChatML turns" …);
//  3. the template's output for the first turns is where its text of all begins,
//     for every turn of every conversation (Way "turn by turn").
//
// A conversation for which none of them holds is refused, with the reason: a mask
// that is almost right trains a model on the wrong text without a sign of it.
//
// The turn's end belongs to the text that is learnt; white space after it does not. Dates
// are pinned: see Date. A Template is immutable and safe for concurrent use.
package chat
