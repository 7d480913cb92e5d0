"""GQL, the query language of the Datastore API: a string becomes the Query message that it stands for.

Real service: the GQL reference; where it is silent, what both official emulators do.
"""

from localcloud.datastore.gql.parser import parse_aggregation_query, parse_query

__all__ = ["parse_aggregation_query", "parse_query"]
