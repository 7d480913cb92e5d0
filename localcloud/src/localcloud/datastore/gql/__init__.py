"""GQL, the query language of the Datastore API: strings become the Query messages that clients send else.

Real service: the GQL reference; where it is silent, what both official emulators do.
"""

from localcloud.datastore.gql.parser import parse_aggregation_query, parse_query

__all__ = ["parse_aggregation_query", "parse_query"]
