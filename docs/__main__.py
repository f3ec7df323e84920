"""Writes docs/commands.md and docs/api.md anew: ``python -m docs``."""

from pathlib import Path

from docs.api_page import api_page
from docs.commands_page import commands_page
from litesnn.files import write_text

write_text(Path(__file__).with_name("commands.md"), commands_page())
write_text(Path(__file__).with_name("api.md"), api_page())
