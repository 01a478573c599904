"""Made-up candidates, jobs and interviews: the same for the same seed, then changed by what clients do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

_FIRST_NAMES = (
    "Aisha", "Amelie", "Anders", "Ananya", "Beatriz", "Carlos", "Chen", "Daniela", "Elif", "Emeka", "Fatima", "Grace",
    "Hiroshi", "Ingrid", "Isabel", "Jonas", "Kavya", "Lars", "Leila", "Mateo", "Mei", "Nadia", "Noah", "Olga", "Priya",
    "Rahul", "Rosa", "Samuel", "Sofia", "Tomasz", "Viktor", "Yara",
)  # fmt: skip

_LAST_NAMES = (
    "Almeida", "Andersen", "Banerjee", "Costa", "Demir", "Dubois", "Eze", "Fischer", "Garcia", "Haddad", "Ivanova",
    "Johansson", "Kapoor", "Kowalski", "Lindqvist", "Lopez", "Martin", "Mwangi", "Nakamura", "Novak", "Okafor", "Park",
    "Petrov", "Rao", "Rossi", "Schmidt", "Silva", "Suzuki", "Tanaka", "Weber", "Wright", "Zhang",
)  # fmt: skip

_JOBS = (
    ("Backend Engineer", ("Python", "PostgreSQL", "asyncio", "Redis", "Docker", "gRPC", "Kafka")),
    ("Frontend Engineer", ("TypeScript", "React", "CSS", "Accessibility", "GraphQL", "Vite", "Playwright")),
    ("Data Scientist", ("Python", "pandas", "SQL", "scikit-learn", "Statistics", "Airflow", "dbt")),
    ("Product Designer", ("Figma", "Prototyping", "User research", "Design systems", "Accessibility", "Workshops")),
    ("Site Reliability Engineer", ("Kubernetes", "Terraform", "Linux", "Prometheus", "Go", "Incident response")),
)
"""Titles, and skills of which each candidate has some."""

_CANDIDATE_STATUSES = ("Applied", "Shortlisted", "Interviewing", "Offered", "Rejected")

_INTERVIEW_STATUSES = ("Scheduled", "Completed", "Cancelled")

_ROUNDS = ("Screening call", "Technical interview", "System design", "Culture conversation")

_FIRST_DAY = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
_CANDIDATES = 64
_INTERVIEWS = 24
_INTERVIEWERS = 6


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the organization."""

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
    """A person who applied for a job."""

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
    """An interview; *interviewer* is ``None`` if the interviewer is from outside the organization."""

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
        # Everything below draws from this generator in a fixed order: that makes the data of one seed the same.
        self._random = random.Random(seed)  # noqa: S311 - sample data; secrets come from `secrets`
        self.organization_id = self.new_id()
        self.recruiter = self._person()
        self.interviewers = {one.id: one for one in [self._person() for _ in range(_INTERVIEWERS)]}
        self.jobs = {job.id: job for job in (Job(self.new_id(), title, skills) for title, skills in _JOBS)}
        self.candidates: dict[str, Candidate] = {}
        self.interviews: dict[str, Interview] = {}
        self.resume_hashes: set[tuple[str, str]] = set()
        self._populate()

    def new_id(self) -> str:
        """Return an identifier like those of the API: 24 hexadecimal digits."""
        return self._random.randbytes(12).hex()

    def add_candidate(self, name: str, job_id: str, organization_id: str, created: datetime, **known: str) -> Candidate:
        """Add a candidate with contact data, score and skills, as if a resume had been parsed."""
        # An upload may name a job that is not among these. Its candidates get the skills of any other.
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
            status=known.get("status", _CANDIDATE_STATUSES[0]),
            created_at=timestamp(created),
        )
        self.candidates[candidate.id] = candidate
        return candidate

    def add_interview(self, candidate: Candidate, interviewer_id: str, date_and_time: str, status: str) -> Interview:
        """Add an interview; a candidate who only applied, or was shortlisted, is now interviewing."""
        # Records are frozen, and an interview keeps the candidate of its time; readers look up the current one by id.
        if candidate.status in _CANDIDATE_STATUSES[:2]:
            candidate = replace(candidate, status=_CANDIDATE_STATUSES[2])
            self.candidates[candidate.id] = candidate
        round_number = sum(1 for _ in self.interviews_of(candidate.id))
        interview = Interview(
            id=self.new_id(),
            title=f"{_ROUNDS[round_number % len(_ROUNDS)]} with {candidate.full_name}",
            status=status,
            date_and_time=date_and_time,
            candidate=candidate,
            interviewer_id=interviewer_id,
            interviewer=self.interviewers.get(interviewer_id),
        )
        self.interviews[interview.id] = interview
        return interview

    def interviews_of(self, candidate_id: str) -> Iterator[Interview]:
        """Return the candidate's interviews, in the order in which they were added."""
        return (interview for interview in self.interviews.values() if interview.candidate.id == candidate_id)

    def _populate(self) -> None:
        pick = self._random
        for number in range(_CANDIDATES):
            created = _FIRST_DAY + timedelta(hours=7 * number, minutes=pick.randrange(60))
            job_id = pick.choice(list(self.jobs))
            self.add_candidate(
                self._name(), job_id, self.organization_id, created, status=pick.choice(_CANDIDATE_STATUSES)
            )
        for number, candidate in enumerate(pick.sample(list(self.candidates.values()), _INTERVIEWS)):
            begins = _FIRST_DAY + timedelta(days=21 + number // 3, hours=number % 3 * 2)
            interviewer, status = pick.choice(list(self.interviewers)), pick.choice(_INTERVIEW_STATUSES)
            self.add_interview(candidate, interviewer, timestamp(begins), status)

    def _person(self) -> Person:
        name = self._name()
        return Person(self.new_id(), name, f"{name.lower().replace(' ', '.')}@acme-talent.example")

    def _name(self) -> str:
        return f"{self._random.choice(_FIRST_NAMES)} {self._random.choice(_LAST_NAMES)}"


def timestamp(moment: datetime) -> str:
    """Return *moment* as the API writes it (RFC 3339, UTC)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
