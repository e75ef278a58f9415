// Package chat holds conversations as data brings them.
//
// A Conversation is a list of messages. Readers of data files make them; what
// text a model sees of them is the model's chat template's business.
package chat
