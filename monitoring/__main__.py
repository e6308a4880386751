"""`python -m monitoring`: write the dashboards to where the chart takes them from."""

from __future__ import annotations

from monitoring import FOLDER, dashboards

if __name__ == "__main__":
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
        print(FOLDER / name)
