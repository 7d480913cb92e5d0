"""Goes through the tokens of a GQL string, one after the other."""

from __future__ import annotations

from localcloud.datastore.errors import Refused, invalid
from localcloud.datastore.gql.lexer import Kind, Token, place, tokens_of


class Reader:
    """The place in a string. Raises Refused for a string that has no tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._index = 0

    @property
    def token(self) -> Token:
        """The next one."""
        return self._tokens[self._index]

    @property
    def is_at_end(self) -> bool:
        return self.token.kind is Kind.END

    @property
    def is_call(self) -> bool:
        """Is the next token a function's name, with its parenthesis after it?"""
        return self.token.kind is Kind.NAME and self._tokens[self._index + 1].word == "("

    def take(self) -> Token:
        """The next token, and go on. It never goes past the end."""
        token = self.token
        if token.kind is not Kind.END:
            self._index += 1
        return token

    def accept(self, *words: str) -> bool:
        """Go on after these words, if they come next, all of them."""
        following = self._tokens[self._index : self._index + len(words)]
        if [each.word for each in following] != list(words):
            return False
        self._index += len(words)
        return True

    def expect(self, word: str) -> None:
        """Go on after the word. Raises Refused if it doesn't come next."""
        if not self.accept(word):
            raise self.expected(word.upper())

    def name(self, what: str) -> str:
        """The next token, a name. `what` it names, for the refusal."""
        if self.token.kind is Kind.NAME and not self.token.is_name:
            raise self.expected(f"{what}; a keyword as a name needs backquotes")
        if not self.token.is_name:
            raise self.expected(what)
        return self.take().content

    def string(self) -> str:
        """The next token, a string."""
        if self.token.kind is not Kind.STRING:
            raise self.expected("a string in quotes")
        return self.take().content

    def property(self) -> str:
        """A property's path: names with dots between them."""
        names = [self.name("a property's name")]
        while self.accept("."):
            names.append(self.name("a property's name"))
        return ".".join(names)

    def properties(self) -> list[str]:
        """One property, or several with commas between them."""
        paths = [self.property()]
        while self.accept(","):
            paths.append(self.property())
        return paths

    def expected(self, what: str) -> Refused:
        """The refusal of the next token."""
        token = self.token
        found = "the query ends here" if token.kind is Kind.END else f"found {token.text[:100]}"
        return self.refused(token, f"{found}. Expected {what}.")

    def refused(self, token: Token, what: str) -> Refused:
        """A refusal of something at the token."""
        return invalid(f"GQL, {place(self._text, token.position)}: {what}")
