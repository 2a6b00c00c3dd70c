"""Before the application is imported, which makes its `Twinlock` at once."""

import os

os.environ["TWINLOCK_ENVIRONMENT"] = "development"
