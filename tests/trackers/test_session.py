"""Rounds of correction, and their score: held to davisinteractive's reports."""

import numpy as np
import pytest

from vosnb.clips import Clip
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import Scribble, draw
from vosnb.paths import ROOT
from vosnb.trackers.session import Curve, InteractiveSession, Round, curve, frame_scores

ORACLE = np.load(ROOT / "tests" / "oracles" / "interactive.npz")


# ------------------------------------------------------------------------------------------------- scores and curves


def report():
    """The oracle's report as sessions, one for each sequence and set of scribbles."""
    sequence, table = ORACLE["report_seq"], ORACLE["report_numeric"]
    assert ORACLE["report_cols"][[0, 1, 2, 4, 5, 7]].tolist() == [
        "scribble_idx",
        "interaction",
        "object_id",
        "jaccard",
        "contour",
        "timing",
    ]
    sessions = []
    for which in dict.fromkeys(zip(sequence, table[:, 0], strict=True)):
        mine = table[(sequence == which[0]) & (table[:, 0] == which[1])]
        rows = []
        for n in np.unique(mine[:, 1]):
            now = mine[mine[:, 1] == n]
            J, F = (tuple(now[now[:, 2] == k, column].mean() for k in np.unique(now[:, 2])) for column in (4, 5))
            rows.append(Round(int(n), 0, now[0, 7], J, F))
        sessions.append(rows)
    return sessions


def test_frame_scores_are_davisinteractive_s_and_so_is_their_order():
    J, F = frame_scores(ORACLE["gt"], ORACLE["pred"], (1, 2))
    np.testing.assert_allclose(J.T, ORACLE["J"], atol=1e-12, rtol=0)
    np.testing.assert_allclose(F.T, ORACLE["F"], atol=1e-12, rtol=0)
    np.testing.assert_allclose((J + F).mean(0) / 2, ORACLE["frame_metric_JF"], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "max_time"), [("240", 240), ("None", None)])
def test_curves_and_their_area_are_davisinteractive_s(name, max_time):
    found = curve(report(), max_time=max_time)
    np.testing.assert_allclose(found.times, ORACLE[f"curve_time_maxt{name}"], atol=1e-12, rtol=1e-12)
    np.testing.assert_allclose(found.scores, ORACLE[f"curve_jf_maxt{name}"], atol=1e-12, rtol=0)
    assert found.auc == pytest.approx(ORACLE[f"auc_maxt{name}"].item(), abs=1e-12)
    assert found.at(60) == found.at() == pytest.approx(ORACLE[f"jf60_maxt{name}"].item(), abs=1e-12)


def test_a_curve_that_would_run_back_in_time_is_refused():
    times, scores = ORACLE["curve_time_maxt30"], ORACLE["curve_jf_maxt30"]
    assert times[-1] < times[-2]
    garbage = np.trapezoid(scores, times) / times[-2]  # the reference divides by the longest time
    assert garbage == pytest.approx(ORACLE["auc_maxt30"].item(), abs=1e-12) and garbage < scores[1:].min()
    with pytest.raises(ValueError, match=r"83\.1 s on average, but max_time=30 ends the curve at 45\.0 s"):
        curve(report(), max_time=30)


def test_auc_is_the_mean_height():
    assert Curve(np.array([0, 2, 2, 10]), np.array([0, 0.5, 0.8, 0.8])).auc == pytest.approx((0.5 + 6.4) / 10)


def rows(*played, objects=1):
    return [Round(n, 0, s, (score,) * objects, (score,) * objects) for n, (s, score) in enumerate(played, 1)]


def test_a_session_that_ended_early_keeps_its_score_and_its_time():
    found = curve([rows((1, 0.2), (3, 0.4)), rows((1, 0.6))], rounds=3, max_time=10)
    np.testing.assert_allclose(found.times, [0, 1, 2.5, 2.5, 10])
    np.testing.assert_allclose(found.scores, [0, 0.4, 0.5, 0.5, 0.5])


def test_scores_are_means_of_objects_and_times_of_sessions():
    found = curve([rows((1, 0.2), objects=3), rows((3, 0.6))], rounds=1, max_time=10)
    np.testing.assert_allclose(found.scores, [0, 0.3, 0.3])
    np.testing.assert_allclose(found.times, [0, 2, 20])


@pytest.mark.parametrize("sessions", [[], [rows((1, 0.5)), []]])
def test_a_curve_needs_rounds(sessions):
    with pytest.raises(ValueError, match="at least one finished round"):
        curve(sessions)


# ---------------------------------------------------------------------------------------------------------- sessions


def clip(frames=6, size=(48, 64), objects=2):
    """Ellipses that grow from frame to frame."""
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        for k in range(1, objects + 1):
            masks[t][(x - 20 * k) ** 2 + (y - 24) ** 2 / 4 <= (4 + t) ** 2] = k
    return Clip.from_arrays("ellipses", np.zeros((frames, *size, 3), np.uint8), masks)


class Learner:
    """Learns a frame by heart when it is scribbled on; `clock` moves on by `seconds` meanwhile."""

    def __init__(self, clip, seconds=2.0):
        self.truth = np.stack([clip.masks[t] for t in range(len(clip))])
        self.masks, self.seconds, self.now, self.asked = np.zeros_like(self.truth), seconds, 0.0, []

    def clock(self):
        return self.now

    def add(self, scribbles):
        self.asked.append(scribbles)
        for s in scribbles:
            self.masks[s.frame] = self.truth[s.frame]
        self.now += self.seconds
        return self.masks.copy()


class Finisher(Learner):
    def finish(self):
        self.now += 5
        return self.truth


class Pointer:
    """A user who points at one wrong pixel of each object, on frames that are not among `passes`."""

    def __init__(self, passes=()):
        self.passes, self.shown = passes, []

    def scribbles(self, truth, prediction, frame):
        self.shown.append(frame)
        wrong = [np.argwhere((truth[frame] == k) & (prediction[frame] != k)) for k in (1, 2)]
        found = [Scribble(frame, k, [p[0, ::-1] / truth.shape[:0:-1]]) for k, p in enumerate(wrong, 1) if len(p)]
        return [] if frame in self.passes else found


def test_rounds_go_to_the_worst_frame_that_none_had_yet():
    c = clip()
    learner = Learner(c)
    session = InteractiveSession(c, learner, Pointer(), rounds=5, clock=learner.clock)
    found = session.run()
    assert found is session.rows and [row.round for row in found] == [1, 2, 3, 4, 5]
    assert [row.frame for row in found] == [0, 1, 2, 3, 4]  # with nothing predicted, all frames are as bad
    assert [row.seconds for row in found] == [2.0] * 5
    assert (np.diff([row.JF for row in found]) > 0).all()
    assert [s for new in learner.asked for s in new] == session.scribbles
    J, F = frame_scores(session.truth, session.masks, (1, 2))
    np.testing.assert_allclose(found[-1].J, J.mean(1))  # of all frames, the first and the last among them
    np.testing.assert_allclose(found[-1].F, F.mean(1))
    np.testing.assert_allclose(found[-1].JF, (J.mean() + F.mean()) / 2)


def test_the_frames_come_in_the_benchmark_s_order():
    c = Clip.from_arrays("oracle", np.zeros((6, 120, 200, 3), np.uint8), ORACLE["gt"])

    class Stubborn:
        def add(self, scribbles):
            return ORACLE["pred"]

    session = InteractiveSession(c, Stubborn(), Pointer(), rounds=8)
    session.masks = ORACLE["pred"]
    assert session.worst_frames() == ORACLE["frame_order"].tolist()
    assert [row.frame for row in session] == [*ORACLE["frame_order"], 5, 5]


def test_where_a_user_has_nothing_to_say_the_next_frame_is_shown():
    c = clip(frames=4)
    user = Pointer(passes=(0, 2))
    found = InteractiveSession(c, Learner(c), user).run()
    assert [row.frame for row in found] == [1, 3]
    assert user.shown == [0, 1, 0, 2, 3, 0, 2, 1, 3]  # at the end all of them, those with scribbles last
    assert InteractiveSession(c, Learner(c), Pointer(range(4))).run() == []


def test_it_ends_when_nothing_is_wrong():
    c = clip(frames=3)
    found = InteractiveSession(c, Learner(c), Pointer()).run()
    assert found[-1].JF == 1 and len(found) == 3


def test_the_last_round_finishes_and_pays_for_it():
    c = clip()
    learner = Finisher(c)
    found = InteractiveSession(c, learner, Pointer(), rounds=3, finish="last", clock=learner.clock).run()
    assert [row.seconds for row in found] == [2.0, 2.0, 7.0] and [row.answered for row in found] == [2.0] * 3
    assert found[1].JF < 1 and found[2].JF == 1
    found = InteractiveSession(c, Finisher(c), Pointer(), rounds=3, clock=learner.clock).run()
    assert len(found) == 1 and found[0].JF == 1  # after every round, by default


def test_a_round_that_is_too_late_is_discarded():
    c = clip()
    learner = Learner(c, seconds=2.0)
    session = InteractiveSession(c, learner, Pointer(), max_time=2.5, clock=learner.clock)  # 5 s for two objects
    assert len(session.run()) == 2 and len(learner.asked) == 3
    assert {s.frame for s in session.scribbles} == {row.frame for row in session.rows}
    assert len(session.run()) == 2 and len(learner.asked) == 3
    assert curve([session.rows], max_time=2.5).times[-2] == 4.0
    assert len(InteractiveSession(c, Learner(c), Pointer(), max_time=None).run()) == 6


def test_anyone_may_be_the_user_on_any_frame():
    c = clip()

    class Person:
        def scribbles(self, truth, prediction, frame):
            assert truth.shape == prediction.shape == (6, 48, 64)
            return [Scribble(4, 1, [[0.3, 0.5]])]

    play = iter(InteractiveSession(c, Learner(c), Person(), rounds=2))
    first, second = next(play), next(play)
    assert first.frame == second.frame == 4 and 0 < first.J[0] == second.J[0]


def test_void_is_not_scored():
    c = clip(objects=1)
    truth = np.stack([c.masks[t] for t in range(6)])
    void = np.where(truth == 0, 255, truth).astype(np.uint8)
    J, F = frame_scores(void, np.ones_like(truth), [1])
    assert (J == 1).all()


def test_a_robot_plays_and_its_ink_is_true():
    c = clip()
    session = InteractiveSession(c, Learner(c), Robot(), rounds=2)
    assert len(session.run()) == 2
    for s in session.scribbles:
        y, x = np.nonzero(draw([s], c.size) >= 0)
        assert (session.truth[s.frame][y + 1, x + 1] == s.object).all()  # W pixels drawn at W - 1, and H at H - 1


def test_what_cannot_be_played_is_told():
    c = clip()
    with pytest.raises(ValueError, match="frames without a mask"):
        InteractiveSession(Clip.from_arrays("x", c.frames, [c.masks[0], *[None] * 5]), Learner(c), Pointer())
    with pytest.raises(ValueError, match="no object"):
        InteractiveSession(Clip.from_arrays("x", c.frames, np.zeros((6, 48, 64), np.uint8)), Learner(c), Pointer())

    class Small(Learner):
        def add(self, scribbles):
            return super().add(scribbles)[:, ::2]

    with pytest.raises(ValueError, match=r"masks are \(6, 24, 64\), the clip's are \(6, 48, 64\)"):
        InteractiveSession(c, Small(c), Pointer()).run()
