"""Stand-in of the tests."""

CATEGORIES = (
    "normal_single_turn_single_function",
    "normal_multi_turn_user_adjust",
    "normal_atom_bool",
    "normal_preference",
    "special_incomplete",
    "special_error_param",
    "special_irrelevant",
)
