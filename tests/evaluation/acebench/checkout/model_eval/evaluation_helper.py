"""Stand-in of the tests."""

from openpyxl import Workbook

NAMES = ["Model", "atom", "single_turn", "multiple_turn", "normal_summary", "special_summary", "Summary"]


def write_table(path, model, accuracies):
    normal = [value for name, value in accuracies.items() if name.startswith("normal")]
    special = [value for name, value in accuracies.items() if name.startswith("special")]
    sums = [sum(normal) / 12, sum(special) / 3]
    workbook = Workbook()
    workbook.active.append(NAMES)
    workbook.active.append([model, 0.0, 0.0, 0.0, *sums, 0.578 * sums[0] + 0.2676 * sums[1]])
    workbook.save(path)
