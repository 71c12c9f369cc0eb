"""Lists the categories of BFCL that are evaluated, and their official folders."""

NON_LIVE = (
    "simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance",
)  # fmt: skip
LIVE = (
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip
SINGLE_TURN = NON_LIVE + LIVE
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
CATEGORIES = SINGLE_TURN + MULTI_TURN
GROUPS = {
    "non_live": NON_LIVE,
    "live": LIVE,
    "single_turn": SINGLE_TURN,
    "multi_turn": MULTI_TURN,
    "all": CATEGORIES,
}
# No sensible answer satisfies the official checker. Python: the possible answers contradict the schemas. Java: numbers in
# lists of anything are compared as strings (36, 65); a value stands where a list of values should, so that only one of its
# letters is accepted (64).
UNSATISFIABLE = frozenset(
    "live_simple_106-63-0 live_simple_112-68-0 live_multiple_862-181-3 live_multiple_964-207-0 simple_java_36 "
    "simple_java_64 simple_java_65".split()
)


def category_of(entry_id: str) -> str:
    return entry_id.rsplit("_", 1)[0]


def folder_of(category: str) -> str:
    """Folder of a category below `result/<model>` and `score/<model>` in the official layout."""
    return next(group for group in ("non_live", "live", "multi_turn") if category in GROUPS[group])
