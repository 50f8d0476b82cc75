"""The imitation stage of a run: cloning of a teacher, then rounds of DAgger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from makespan.agents.action_labels import Student, action_labels
from makespan.agents.config import EnvConfig, ImitationConfig, ShapeConfig, Shapes
from makespan.agents.dagger import dagger_labels, digest, round_seed
from makespan.agents.imitation import Cloner, MovingAverage, mirrored, sections_per_epoch
from makespan.agents.labels import Labels, label
from makespan.agents.network import ActorCritic
from makespan.agents.shapes import teacher_of
from makespan.envs.registration import get_family

MakeLabels = Callable[[tuple[ShapeConfig, ...]], list[Labels]]


class Imitator:
    """Imitates a teacher in sections, and can stop after any of them and go on as if it never had.

    Round 0 clones a solver's schedules, or what a rule or registered policy does in the states of its own episodes.
    Each further round adds what the teacher makes of states that the student
    (the moving average of the weights) has reached, and goes on cloning with all labels so far: the weights and their
    average continue, the optimiser and the learning rate's schedule start anew.

    Args:
        network: Trained in place.
        config: Labels, rounds, rates.
        env: Where student and teacher act.
        seed: Of the run.
        cache_dir: Where labels are kept.

    Attributes:
        round: The round under way.
    """

    def __init__(
        self, network: ActorCritic, config: ImitationConfig, env: EnvConfig, seed: int, cache_dir: str | Path
    ) -> None:
        self.network = network
        self.config = config
        self.env = env
        self.seed = seed
        self.cache_dir = cache_dir
        self.family = get_family(env.id)
        self.round = 0
        self._students: list[dict[str, Tensor]] = []  # the weights that acted in rounds 1, 2, ...
        self._labels = self._teachers_labels()
        self._num_teachers = sum(len(group) for group in self._labels)
        self._cloner = self._new_cloner(None)

    @property
    def done(self) -> int:
        """Sections done, of all rounds."""
        return sum(self._sections(number) for number in range(self.round)) + self._cloner.done

    @property
    def num_sections(self) -> int:
        """Sections of all rounds."""
        return sum(self._sections(number) for number in range(self.config.dagger_rounds + 1))

    def section(self) -> dict[str, float]:
        """Train on the next section, after making the labels of its round if it is the first there; its metrics."""
        if self._cloner.done == self._cloner.num_sections:
            self._students.append(
                {name: tensor.clone() for name, tensor in self._cloner.average.weights.items()}
            )
            self.round += 1
            self._labels += self._corrections(self.round)
            self._cloner = self._new_cloner(self._cloner.average)
        return self._cloner.section()

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and JSON from which `restore` goes on; with the students' weights it makes the same labels."""
        tensors, meta = self._cloner.state()
        students = {str(number): weights for number, weights in enumerate(self._students, 1)}
        return {**tensors, "students": students}, {**meta, "round": self.round}

    def restore(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.round = int(meta.get("round", 0))
        self._students = [dict(tensors["students"][str(number)]) for number in range(1, self.round + 1)]
        for number in range(1, self.round + 1):
            self._labels += self._corrections(number)
        self._cloner = self._new_cloner(self._cloner.average)
        self._cloner.restore(tensors, meta)

    def finish(self) -> None:
        """Put the averaged weights into the network."""
        self._cloner.finish()

    def _new_cloner(self, average: MovingAverage | None) -> Cloner:
        seed = round_seed(self.seed, self.round)
        return Cloner(self.network, self._config_of(self.round), self.env, self._labels, seed, average)

    def _config_of(self, number: int) -> ImitationConfig:
        return self.config if number == 0 else replace(self.config, epochs=self.config.dagger_epochs)

    def _sections(self, number: int) -> int:
        """Sections of a round, known before its labels are."""
        corrections = sum(shape.count for shape in self.config.dagger_shapes or self.config.shapes)
        return self._config_of(number).epochs * sections_per_epoch(self._num_teachers + number * corrections)

    def _teachers_labels(self) -> list[Labels]:
        config = self.config

        def solved(shapes: tuple[ShapeConfig, ...]) -> list[Labels]:
            labels = label(self.env.id, shapes, self.seed, workers=config.workers, cache_dir=self.cache_dir)
            if not config.mirror:
                return labels
            images = [mirrored(self.family, group) for group in labels]
            return [
                Labels(group.instances + image.instances, group.schedules + image.schedules)
                for group, image in zip(labels, images, strict=True)
            ]

        def acted(shapes: tuple[ShapeConfig, ...]) -> list[Labels]:
            return action_labels(self.env, self.family, shapes, self.seed, cache_dir=self.cache_dir)

        return self._by_teacher(config.shapes, solved, acted)

    def _corrections(self, number: int) -> list[Labels]:
        """The labels of a round of DAgger, made or read; the network itself is left as it is."""
        student = deepcopy(self.network)
        student.load_state_dict(self._students[number - 1])

        def solved(shapes: tuple[ShapeConfig, ...]) -> list[Labels]:
            return dagger_labels(
                student,
                self.env,
                self.family,
                shapes,
                self.seed,
                number,
                workers=self.config.workers,
                cache_dir=self.cache_dir,
            )

        def acted(shapes: tuple[ShapeConfig, ...]) -> list[Labels]:
            return action_labels(
                self.env,
                self.family,
                shapes,
                round_seed(self.seed, number),
                student=Student(student, self.config.dagger_beta**number, digest(student.state_dict())),
                cache_dir=self.cache_dir,
            )

        return self._by_teacher(self.config.dagger_shapes or self.config.shapes, solved, acted)

    def _by_teacher(self, shapes: Shapes, solved: MakeLabels, acted: MakeLabels) -> list[Labels]:
        """Labels of shapes, in their order: of solvers by schedules, of rules and policies by actions."""
        solvers = [teacher_of(self.family, shape).kind == "solver" for shape in shapes]
        groups = {
            True: iter(solved(tuple(s for s, is_solver in zip(shapes, solvers, strict=True) if is_solver))),
            False: iter(
                acted(tuple(s for s, is_solver in zip(shapes, solvers, strict=True) if not is_solver))
            ),
        }
        return [next(groups[is_solver]) for is_solver in solvers]
