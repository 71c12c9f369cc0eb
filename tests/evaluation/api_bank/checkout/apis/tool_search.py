"""Stand-in of the tests."""

from sentence_transformers import SentenceTransformer


class ToolSearcher:
    input_parameters = ("keywords",)

    def __init__(self, _):
        pass

    def call(self, keywords):
        return SentenceTransformer("some model").encode(keywords)
