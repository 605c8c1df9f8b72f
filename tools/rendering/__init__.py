"""What ``render_people.py`` is made of: the plan of each picture, shapes and strands in numpy, the stage in Blender."""
