"""Stand-in of the tests."""

import googletrans
from googletrans import Translator


class Translate:
    input_parameters = ("src",)

    def __init__(self, _):
        self.languages = googletrans.LANGUAGES

    def call(self, src):
        return Translator().translate(src)
