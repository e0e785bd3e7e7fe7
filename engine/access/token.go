package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxTokens is how many there can be.
const MaxTokens = 1000

// tokenKind is what tokens are called in their Store; key: id.
const tokenKind = "token"

// Store keeps a value for a key of a kind; nil forgets it. The ledger is one.
type Store interface {
	Learn(kind, key string, value []byte) error
	ForEachLearned(kind string, fn func(key string, value []byte) error) error
}

// Errors that callers branch on; their texts say what to do.
var (
	// ErrInvalidToken is a token that cannot be made as it was asked for.
	ErrInvalidToken = errors.New("invalid token")
	// ErrTokenExists is a name that another token has.
	ErrTokenExists = errors.New("there is a token of this name already: revoke it first, or choose another name")
	// ErrNoToken is a name that no token has.
	ErrNoToken = errors.New("there is no token of this name; penstock token list shows them")
	// ErrTooManyTokens is one more than there can be.
	ErrTooManyTokens = fmt.Errorf("there are %d tokens already: revoke those that are not used", MaxTokens)
	// ErrUnknown is a secret that is no token's.
	ErrUnknown = errors.New("the token is wrong or was revoked; penstock token create makes one")
	// ErrExpired is a secret whose token has ended.
	ErrExpired = errors.New("the token has expired; penstock token create makes one")
)

// Token is what is kept of one: not its secret.
type Token struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Created is when, CreatedBy by whom.
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"`
	// Expires is when it ends; the zero time: never.
	Expires time.Time `json:"expires,omitzero"`
	// Hash is the SHA-256 of the secret's random part. That has 256 bits, so there
	// is nothing to guess, and a slow hash would protect nothing.
	Hash [sha256.Size]byte `json:"hash"`
}

// Expired reports that the token has ended at now.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// MarshalText writes a role's word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// Tokens is all tokens. Any goroutine may use it.
type Tokens struct {
	store Store

	mu   sync.RWMutex
	byID map[string]*Token // guarded by mu; a Token is never changed
}

// OpenTokens reads the tokens that a store has.
func OpenTokens(store Store) (*Tokens, error) {
	t := &Tokens{store: store, byID: make(map[string]*Token)}
	err := store.ForEachLearned(tokenKind, func(id string, value []byte) error {
		var token Token
		if err := json.Unmarshal(value, &token); err != nil {
			return fmt.Errorf("token %s: %w", id, err)
		}
		t.byID[id] = &token
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return t, nil
}

// A secret is "penstock_", an id to find it by, "_", and 32 random octets. What
// scans for leaked secrets can know it by its beginning.
const (
	secretPrefix = "penstock_"
	idOctets     = 6
	randomOctets = 32
)

// The shortest and longest time that a token may be good for.
const (
	shortestToken = time.Second
	longestToken  = 10 * 366 * 24 * time.Hour
)

// tokenName keeps names apart from one another in logs and tables.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$`)

// Create makes a token that is good for so long, 0 for until it is revoked, and
// gives its secret, which cannot be had again. It counts at once, and is in the
// Store when it returns. Errors: ErrInvalidToken, ErrTokenExists,
// ErrTooManyTokens.
func (t *Tokens) Create(name string, role Role, validFor time.Duration, by string, now time.Time) (token Token, secret string, err error) {
	switch {
	case !tokenName.MatchString(name):
		return Token{}, "", fmt.Errorf("%w: name %q: letters, digits and . _ - @ may be, at most 100, and first a letter or a digit", ErrInvalidToken, name)
	case !Admin.Allows(role):
		return Token{}, "", fmt.Errorf("%w: its role must be one of %s", ErrInvalidToken, strings.Join(Roles(), ", "))
	case validFor != 0 && (validFor < shortestToken || validFor > longestToken):
		return Token{}, "", fmt.Errorf("%w: it would be good for %v: from a second to ten years may be, or without end", ErrInvalidToken, validFor)
	}
	token = Token{Name: name, Role: role, Created: now.UTC(), CreatedBy: by}
	if validFor > 0 {
		token.Expires = now.Add(validFor).UTC()
	}
	var id [idOctets]byte
	var random [randomOctets]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	rand.Read(random[:])
	token.Hash = sha256.Sum256(random[:])
	value, err := json.Marshal(&token)
	if err != nil {
		return Token{}, "", fmt.Errorf("keep token %s: %w", name, err)
	}
	key := hex.EncodeToString(id[:])

	t.mu.Lock()
	defer t.mu.Unlock()
	ended := "" // an expired one of this name makes room
	for other, o := range t.byID {
		if o.Name == name {
			if !o.Expired(now) {
				return Token{}, "", fmt.Errorf("create token %s: %w", name, ErrTokenExists)
			}
			ended = other
		}
	}
	if len(t.byID) >= MaxTokens && ended == "" {
		return Token{}, "", fmt.Errorf("create token %s: %w", name, ErrTooManyTokens)
	}
	if ended != "" {
		if err := t.forget(ended); err != nil {
			return Token{}, "", err
		}
	}
	if err := t.store.Learn(tokenKind, key, value); err != nil { // only touches memory
		return Token{}, "", fmt.Errorf("keep token %s: %w", name, err)
	}
	t.byID[key] = &token
	return token, secretPrefix + key + "_" + base64.RawURLEncoding.EncodeToString(random[:]), nil
}

// Revoke ends a token at once. ErrNoToken: there is none of this name.
func (t *Tokens) Revoke(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, token := range t.byID {
		if token.Name == name {
			return t.forget(id)
		}
	}
	return fmt.Errorf("revoke token %s: %w", name, ErrNoToken)
}

// forget removes a token. REQUIRES: t.mu held.
func (t *Tokens) forget(id string) error {
	if err := t.store.Learn(tokenKind, id, nil); err != nil {
		return fmt.Errorf("forget token %s: %w", t.byID[id].Name, err)
	}
	delete(t.byID, id)
	return nil
}

// List is every token, by name.
func (t *Tokens) List() []Token {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]Token, 0, len(t.byID))
	for _, token := range t.byID {
		all = append(all, *token)
	}
	slices.SortFunc(all, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find is the token whose secret this is, if it is good at now. The time that it
// takes tells nothing of the hash. Errors: ErrUnknown, ErrExpired.
func (t *Tokens) Find(secret string, now time.Time) (Token, error) {
	rest, ok := strings.CutPrefix(secret, secretPrefix)
	id, text, found := strings.Cut(rest, "_")
	random, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The length, too: the decoder passes over line breaks.
	if !ok || !found || err != nil || len(random) != randomOctets || len(text) != base64.RawURLEncoding.EncodedLen(randomOctets) {
		return Token{}, ErrUnknown
	}
	hash := sha256.Sum256(random)
	t.mu.RLock()
	token := t.byID[id]
	t.mu.RUnlock()
	switch {
	case token == nil || subtle.ConstantTimeCompare(hash[:], token.Hash[:]) != 1:
		return Token{}, ErrUnknown
	case token.Expired(now):
		return Token{}, ErrExpired
	}
	return *token, nil
}
