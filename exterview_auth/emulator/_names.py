"""The words that the emulator's data is made of."""

FIRST_NAMES = (
    "Aisha", "Amelie", "Anders", "Ananya", "Beatriz", "Carlos", "Chen", "Daniela", "Elif", "Emeka", "Fatima", "Grace",
    "Hiroshi", "Ingrid", "Isabel", "Jonas", "Kavya", "Lars", "Leila", "Mateo", "Mei", "Nadia", "Noah", "Olga", "Priya",
    "Rahul", "Rosa", "Samuel", "Sofia", "Tomasz", "Viktor", "Yara",
)  # fmt: skip

LAST_NAMES = (
    "Almeida", "Andersen", "Banerjee", "Costa", "Demir", "Dubois", "Eze", "Fischer", "Garcia", "Haddad", "Ivanova",
    "Johansson", "Kapoor", "Kowalski", "Lindqvist", "Lopez", "Martin", "Mwangi", "Nakamura", "Novak", "Okafor", "Park",
    "Petrov", "Rao", "Rossi", "Schmidt", "Silva", "Suzuki", "Tanaka", "Weber", "Wright", "Zhang",
)  # fmt: skip

JOBS = (
    ("Backend Engineer", ("Python", "PostgreSQL", "asyncio", "Redis", "Docker", "gRPC", "Kafka")),
    ("Frontend Engineer", ("TypeScript", "React", "CSS", "Accessibility", "GraphQL", "Vite", "Playwright")),
    ("Data Scientist", ("Python", "pandas", "SQL", "scikit-learn", "Statistics", "Airflow", "dbt")),
    ("Product Designer", ("Figma", "Prototyping", "User research", "Design systems", "Accessibility", "Workshops")),
    ("Site Reliability Engineer", ("Kubernetes", "Terraform", "Linux", "Prometheus", "Go", "Incident response")),
)
"""Titles, and the skills that their candidates have some of."""

CANDIDATE_STATUSES = ("Applied", "Shortlisted", "Interviewing", "Offered", "Rejected")

INTERVIEW_STATUSES = ("Scheduled", "Completed", "Cancelled")

ROUNDS = ("Screening call", "Technical interview", "System design", "Culture conversation")
