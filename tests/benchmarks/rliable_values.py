"""Writes the numbers that tests/benchmarks/test_study_statistics.py compares with; needs rliable 1.2.0 and scipy."""

import json
from pathlib import Path

import numpy as np
from rliable import library, metrics
from scipy import stats

rng = np.random.default_rng(0)
tails = [[df, t, float(stats.t.sf(t, df))] for df in (1, 2, 3, 5, 7, 14, 15, 40) for t in (0.0, 0.3, 1.5, 2.9, 8.0)]
paired = []
for count, shift, deviation in ((6, 0.0, 2.0), (8, 1.5, 1.0), (16, -0.3, 2.5), (2, 1.0, 1.0)):
    differences = np.round(rng.normal(shift, deviation, count), 3)
    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    equivalence = max(
        stats.ttest_1samp(differences, -2.0, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 2.0, alternative="less").pvalue,
    )
    paired.append(
        {"differences": differences.tolist(), "p": test.pvalue, "low": low, "high": high, "p_equivalence": equivalence}
    )
scores = []
for runs, tasks in ((16, 1), (6, 4), (9, 2)):
    x, y = (np.round(rng.normal(mean, 3.0, (runs, tasks)), 1) for mean in (80.0, 79.0))
    thresholds = np.array([70.0, 78.5, 80.0, 82.0, 90.0])
    _, intervals = library.get_interval_estimates(
        {"x": x},
        lambda matrix: np.array([metrics.aggregate_iqm(matrix)]),
        reps=20000,
        random_state=np.random.RandomState(0),
    )
    profile, _ = library.create_performance_profile({"x": x}, thresholds, reps=10)
    scores.append(
        {
            "x": x.tolist(), "y": y.tolist(), "iqm": metrics.aggregate_iqm(x),
            "improvement": metrics.probability_of_improvement(x, y), "iqm_low": intervals["x"][0, 0],
            "iqm_high": intervals["x"][1, 0], "thresholds": thresholds.tolist(), "profile": profile["x"].tolist(),
        }
    )  # fmt: skip
target = Path(__file__).parent / "rliable_values.json"
target.write_text(json.dumps({"t_tails": tails, "paired": paired, "scores": scores}, default=float) + "\n")
