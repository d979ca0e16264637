package nft

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// commentMax is the longest comment that nft prints: 128 bytes with the zero at
// the end.
const commentMax = 127

const commentSeparator = "; "

// comment lists as many of the parts as nft shows, and says how many it left
// out. nft has no escape for a quotation mark in a comment.
func comment(prefix string, parts []string) string {
	all := prefix + strings.Join(parts, commentSeparator)
	if len(all) <= commentMax {
		return quotable(all)
	}
	text := prefix
	for i, part := range parts {
		rest := fmt.Sprintf("+%d more", len(parts)-i)
		if len(text)+len(part)+len(commentSeparator)+len(rest) <= commentMax {
			text += part + commentSeparator
			continue
		}
		if i > 0 {
			return quotable(text + rest)
		}
		return quotable(cutShort(prefix, part, len(parts)-1))
	}
	return quotable(text)
}

// auditPrefix marks the comments of classes that are only audited. No policy's
// name has a colon.
const auditPrefix = "audit: "

// classComment lists a class's policies.
func classComment(c *plan.Class) string {
	switch {
	case c.Audit:
		return comment(auditPrefix, c.Policies)
	case c.Grants:
		return comment(grantsPrefix, c.Policies)
	}
	return comment("", c.Policies)
}

// grantsPrefix marks those of classes that grant.
const grantsPrefix = "grants: "

// commentedClass undoes classComment.
func commentedClass(text string) *plan.Class {
	c := &plan.Class{}
	text, c.Audit = strings.CutPrefix(text, auditPrefix)
	text, c.Grants = strings.CutPrefix(text, grantsPrefix)
	c.Policies = commentParts("", text)
	return c
}

// cutShort is for a first part that is too long by itself.
func cutShort(prefix, part string, others int) string {
	tail := "..."
	if others > 0 {
		tail += fmt.Sprintf("%s+%d more", commentSeparator, others)
	}
	return prefix + strings.ToValidUTF8(part[:commentMax-len(prefix)-len(tail)], "") + tail
}

func quotable(s string) string {
	return strings.NewReplacer(`"`, "'", "\n", " ").Replace(s)
}

// commentParts undoes comment as far as it can be undone.
func commentParts(prefix, text string) []string {
	text = strings.TrimPrefix(text, prefix)
	if text == "" {
		return nil
	}
	return strings.Split(text, commentSeparator)
}
