"""Write the shipped benchmark: python -m vosnb.creatures --write data"""

import click

from vosnb.creatures.splits import write_benchmark


@click.command()
@click.option("--write", "root", required=True, type=click.Path(), help="Folder to write val and test into.")
def main(root):
    """Write the val and test clips in DAVIS layout, with clips.json."""
    write_benchmark(root)


if __name__ == "__main__":
    main()
