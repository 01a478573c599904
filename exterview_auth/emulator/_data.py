"""Believable candidates, jobs and interviews: the same for the same seed, and changed by what clients do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ._names import CANDIDATE_STATUSES, FIRST_NAMES, INTERVIEW_STATUSES, JOBS, LAST_NAMES, ROUNDS

_FIRST_DAY = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
_CANDIDATES = 64
_INTERVIEWS = 24
_INTERVIEWERS = 6


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the organization who interviews."""

    id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Job:
    """An open position."""

    id: str
    title: str
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who applied for a job."""

    id: str
    u_id: str
    organization_id: str
    job_id: str
    full_name: str
    email_address: str
    phone_number: str
    resume_score: float
    skills_found: tuple[str, ...]
    status: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Interview:
    """A candidate's appointment with an interviewer; *interviewer* is ``None`` for one from outside."""

    id: str
    title: str
    status: str
    date_and_time: str
    candidate: Candidate
    interviewer_id: str
    interviewer: Person | None


class Dataset:
    """The records of one organization."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - sample data; secrets come from `secrets`
        self.organization_id = self.new_id()
        self.recruiter = self._person("acme-talent.example")
        self.interviewers = {person.id: person for person in self._people()}
        self.jobs = {job.id: job for job in (Job(self.new_id(), title, skills) for title, skills in JOBS)}
        self.candidates: dict[str, Candidate] = {}
        self.interviews: dict[str, Interview] = {}
        self.resume_hashes: set[tuple[str, str]] = set()
        self._populate()

    def new_id(self) -> str:
        """An identifier like the platform's own: 24 hexadecimal digits."""
        return self._random.randbytes(12).hex()

    def add_candidate(self, name: str, job_id: str, organization_id: str, created: datetime, **known: str) -> Candidate:
        """A candidate as the resume parser finds them: contact, score and skills."""
        job = self.jobs.get(job_id) or self._random.choice(list(self.jobs.values()))
        number = len(self.candidates) + 1
        candidate = Candidate(
            id=self.new_id(),
            u_id=f"CAN-{number:05d}",
            organization_id=organization_id,
            job_id=job_id,
            full_name=name,
            email_address=f"{name.lower().replace(' ', '.')}{number}@mail.example",
            phone_number=f"+1 555 01{self._random.randrange(100):02d} {self._random.randrange(10_000):04d}",
            resume_score=float(self._random.randint(35, 98)),
            skills_found=tuple(sorted(self._random.sample(job.skills, self._random.randint(2, 5)))),
            status=known.get("status", CANDIDATE_STATUSES[0]),
            created_at=timestamp(created),
        )
        self.candidates[candidate.id] = candidate
        return candidate

    def add_interview(self, candidate: Candidate, interviewer_id: str, date_and_time: str, status: str) -> Interview:
        """An appointment; a candidate who only applied is interviewing from now on."""
        if candidate.status in CANDIDATE_STATUSES[:2]:
            candidate = replace(candidate, status=CANDIDATE_STATUSES[2])
            self.candidates[candidate.id] = candidate
        round_number = sum(1 for _ in self.interviews_of(candidate.id))
        interview = Interview(
            id=self.new_id(),
            title=f"{ROUNDS[round_number % len(ROUNDS)]} with {candidate.full_name}",
            status=status,
            date_and_time=date_and_time,
            candidate=candidate,
            interviewer_id=interviewer_id,
            interviewer=self.interviewers.get(interviewer_id),
        )
        self.interviews[interview.id] = interview
        return interview

    def interviews_of(self, candidate_id: str) -> Iterator[Interview]:
        """The candidate's appointments, the oldest first."""
        return (interview for interview in self.interviews.values() if interview.candidate.id == candidate_id)

    def _populate(self) -> None:
        pick = self._random
        for number in range(_CANDIDATES):
            created = _FIRST_DAY + timedelta(hours=7 * number, minutes=pick.randrange(60))
            job_id = pick.choice(list(self.jobs))
            self.add_candidate(
                self._name(), job_id, self.organization_id, created, status=pick.choice(CANDIDATE_STATUSES)
            )
        for number, candidate in enumerate(pick.sample(list(self.candidates.values()), _INTERVIEWS)):
            begins = _FIRST_DAY + timedelta(days=21 + number // 3, hours=number % 3 * 2)
            interviewer, status = pick.choice(list(self.interviewers)), pick.choice(INTERVIEW_STATUSES)
            self.add_interview(candidate, interviewer, timestamp(begins), status)

    def _people(self) -> Iterator[Person]:
        return (self._person("acme-talent.example") for _ in range(_INTERVIEWERS))

    def _person(self, domain: str) -> Person:
        name = self._name()
        return Person(self.new_id(), name, f"{name.lower().replace(' ', '.')}@{domain}")

    def _name(self) -> str:
        return f"{self._random.choice(FIRST_NAMES)} {self._random.choice(LAST_NAMES)}"


def timestamp(moment: datetime) -> str:
    """*moment* as the API writes it (RFC 3339, UTC)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
