"""Blender as a photographer's stage: put surfaces and strands on it, light it, take the picture."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
import cv2
import numpy as np
from mathutils import Matrix, Vector
from PIL import Image

from .pixels import smooth_inside, soften
from .plan import Shot
from .shapes import Strands, Surface, turn

PANORAMA = 256  # width; lamps finer than the map they are sampled by would sparkle, a finer map takes seconds
SAMPLES = 6  # few; the picture is softened afterwards
PATTERNS = ("plain", "plain", "stripes", "checks", "noise", "dots")


class Stage:
    """One Blender, used for picture after picture.

    Args:
        hdris: folder of ``.exr`` panoramas to light with.
        size: long side of the pictures in pixels.
    """

    def __init__(self, hdris: Path, *, size: int):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.size, self.scene = size, bpy.context.scene
        self.hdris = [_panorama(path) for path in sorted(hdris.glob("*.exr"))]
        if not self.hdris:
            raise FileNotFoundError(f"{hdris} holds no .exr panorama")
        self.props: list[bpy.types.Object] = []
        scene, render, cycles = self.scene, self.scene.render, self.scene.cycles
        render.engine, cycles.device = "CYCLES", "CPU"
        render.threads_mode, render.threads = "FIXED", 1
        render.film_transparent = True
        render.image_settings.file_format = "PNG"
        render.image_settings.color_mode, render.image_settings.color_depth = "RGBA", "8"
        render.image_settings.compression = 30
        scene.view_settings.view_transform = "Standard"
        cycles.use_adaptive_sampling, cycles.samples = False, SAMPLES  # adaptive sampling would bias thin hair
        cycles.use_denoising = False  # it would mend premultiplied colours but not alpha: fringes
        cycles.max_bounces, cycles.use_light_tree = 0, False
        cycles.sample_clamp_direct = 4
        scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 1

    def clear(self) -> None:
        """Take everything off the stage but the panoramas."""
        for store in ("objects", "meshes", "hair_curves", "cameras", "lights", "materials", "worlds"):
            blocks = getattr(bpy.data, store)
            bpy.data.batch_remove(list(blocks))
        self.props = []

    def add(
        self, surface: Surface, material: bpy.types.Material, *, colours: np.ndarray | None = None, prop=False
    ) -> None:
        """Put a surface on the stage.

        Args:
            surface: what to put there.
            material: its look.
            colours: ``(V, 3)`` linear RGB, for materials made with ``painted=True``.
            prop: it may be moved while the shutter is open.
        """
        mesh = bpy.data.meshes.new("surface")
        faces = surface.faces.astype(np.int32)
        mesh.vertices.add(len(surface.vertices))
        mesh.vertices.foreach_set("co", surface.vertices.astype(np.float32).ravel())
        mesh.loops.add(faces.size)
        mesh.loops.foreach_set("vertex_index", faces.ravel())
        mesh.polygons.add(len(faces))
        mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 4, dtype=np.int32))
        mesh.update(calc_edges=True)
        if colours is not None:
            layer = mesh.attributes.new("shade", "FLOAT_COLOR", "POINT")
            layer.data.foreach_set("color", _with_alpha(colours).ravel())
        mesh.validate()
        mesh.shade_smooth()
        mesh.set_sharp_from_angle(angle=0.8)
        self._link(mesh, material, prop)

    def add_strands(self, strands: Strands, material: bpy.types.Material, *, prop: bool = False) -> None:
        """Put hair on the stage; the material must be ``painted``."""
        count, length = strands.points.shape[:2]
        if not count:
            return
        curves = bpy.data.hair_curves.new("strands")
        curves.add_curves([length] * count)
        curves.position_data.foreach_set("vector", strands.points.astype(np.float32).ravel())
        radius = curves.attributes.new("radius", "FLOAT", "POINT")
        radius.data.foreach_set("value", strands.radii.astype(np.float32).ravel())
        shade = curves.attributes.new("shade", "FLOAT_COLOR", "CURVE")
        shade.data.foreach_set("color", _with_alpha(strands.colours).ravel())
        self._link(curves, material, prop)

    def _link(self, data, material: bpy.types.Material, prop: bool) -> None:
        data.materials.append(material)
        thing = bpy.data.objects.new(data.name, data)
        self.scene.collection.objects.link(thing)
        if prop:
            self.props.append(thing)

    def material(
        self,
        colour=(0.8, 0.8, 0.8),
        *,
        painted: bool = False,
        second=None,
        pattern: str = "plain",
        scale: float = 12.0,
        angle: float = 0.0,
        roughness: float = 0.7,
        metallic: float = 0.0,
    ) -> bpy.types.Material:
        """A look.

        Args:
            colour: linear RGB.
            painted: take the colour from the vertices or strands instead.
            second: the other colour of a pattern.
            pattern: one of ``PATTERNS``.
            scale: of the pattern, repetitions in a metre.
            angle: of the pattern.
            roughness: 0 is a mirror, 1 is chalk.
            metallic: 0 or 1.
        """
        material = bpy.data.materials.new("look")
        material.use_nodes = True
        tree = material.node_tree
        surface = tree.nodes["Principled BSDF"]
        if roughness > 0.42 and not metallic:  # the plain shader is a third faster and looks the same
            surface = tree.nodes.new("ShaderNodeBsdfDiffuse")
            tree.links.new(surface.outputs["BSDF"], tree.nodes["Material Output"].inputs["Surface"])
        else:
            surface.inputs["Roughness"].default_value = roughness
            surface.inputs["Metallic"].default_value = metallic
        ground = surface.inputs[0]
        ground.default_value = (*colour, 1)
        if painted:
            attribute = tree.nodes.new("ShaderNodeAttribute")
            attribute.attribute_name = "shade"
            tree.links.new(attribute.outputs["Color"], ground)
        elif pattern != "plain":
            place, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
            mapping.inputs["Rotation"].default_value = (0.2, angle, 0.3)
            tree.links.new(place.outputs["Object"], mapping.inputs["Vector"])
            names = {"stripes": "Wave", "checks": "Checker", "noise": "Noise", "dots": "Voronoi"}
            texture = tree.nodes.new(f"ShaderNodeTex{names[pattern]}")
            texture.inputs["Scale"].default_value = scale
            tree.links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
            ramp = tree.nodes.new("ShaderNodeValToRGB")
            ramp.color_ramp.elements[0].color = (*colour, 1)
            ramp.color_ramp.elements[1].color = (*(second if second is not None else colour), 1)
            low, high = {"noise": (0.4, 0.6), "dots": (0.28, 0.34)}.get(pattern, (0.45, 0.55))
            ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = low, high
            out = "Distance" if pattern == "dots" else "Fac"
            tree.links.new(texture.outputs[out], ramp.inputs["Fac"])
            tree.links.new(ramp.outputs["Color"], ground)
        return material

    def shoot(self, shot: Shot, path: Path, view: np.ndarray, *, focus: np.ndarray, rng: np.random.Generator) -> None:
        """Light the stage, place the camera, take the picture.

        Args:
            shot: what the plan says.
            path: the PNG; it appears when it is whole.
            view: ``(N, 3)`` points that must be in the picture.
            focus: point that is sharp.
            rng: source of chance.
        """
        self._light(shot, focus, rng)
        self._place_camera(shot, view, focus, rng)
        part = path.with_suffix(".part.png")
        self.scene.render.filepath = str(part)
        bpy.ops.render.render(write_still=True)
        with Image.open(part) as picture:
            finished = smooth_inside(soften(np.asarray(picture)))
        Image.fromarray(finished).save(part, compress_level=3)
        os.replace(part, path)

    def _light(self, shot: Shot, focus: np.ndarray, rng: np.random.Generator) -> None:
        world = bpy.data.worlds.new("surroundings")
        self.scene.world, world.use_nodes = world, True
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", PANORAMA
        world.cycles_visibility.camera = False
        tree = world.node_tree
        number = int(rng.integers(len(self.hdris)))
        place, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
        mapping.inputs["Rotation"].default_value[2] = rng.uniform(0, 2 * np.pi)
        panorama = tree.nodes.new("ShaderNodeTexEnvironment")
        panorama.image = self.hdris[number]
        background = tree.nodes["Background"]
        background.inputs["Strength"].default_value = shot.exposure
        tree.links.new(place.outputs["Generated"], mapping.inputs["Vector"])
        tree.links.new(mapping.outputs["Vector"], panorama.inputs["Vector"])
        tree.links.new(panorama.outputs["Color"], background.inputs["Color"])
        if shot.lamp == "none":
            return
        lamp = bpy.data.lights.new("lamp", "AREA")
        lamp.energy, lamp.size = rng.uniform(60, 200), rng.uniform(0.3, 1.2)
        lamp.color = tuple(np.clip(rng.normal((1, 0.93, 0.86), 0.12), 0.4, 1))
        side = rng.choice([-1, 1]) * rng.uniform(0.6, 2)
        away = np.array([side, 2.0 if shot.lamp == "rim" else -2.0, rng.uniform(0.5, 2)])
        self._put_facing(lamp, focus + away, -away)

    def _put_facing(self, data, place: np.ndarray, direction: np.ndarray) -> bpy.types.Object:
        """Lamps and cameras look along their -z with y up."""
        back = -direction / np.linalg.norm(direction)
        right = np.cross([0, 0, 1.0], back)
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3] = np.stack([right, np.cross(back, right), back, place], 1)
        thing = bpy.data.objects.new(data.name, data)
        thing.matrix_world = Matrix(matrix.tolist())
        self.scene.collection.objects.link(thing)
        return thing

    def _place_camera(self, shot: Shot, view: np.ndarray, focus: np.ndarray, rng: np.random.Generator) -> None:
        ahead = turn("x", -shot.elevation) @ np.array([0, 1.0, 0])
        right = np.array([1.0, 0, 0])
        up = np.cross(right, ahead)
        seen = np.stack([view @ right, view @ up, view @ ahead], 1)
        low, high = seen.min(0), seen.max(0)
        centre, half = (low + high) / 2, (high - low) / 2 * 1.04
        width, height = np.maximum(half[:2] / half[:2].max(), 0.45)
        render = self.scene.render
        render.resolution_x, render.resolution_y = (8 * round(self.size * side / 8) for side in (width, height))
        slope = 18 / shot.lens / max(render.resolution_x, render.resolution_y)  # of a line of sight, per pixel
        reach = np.abs(seen - centre)[:, :2] / np.array([render.resolution_x, render.resolution_y]) / slope
        distance = float((reach.max(1) * 1.04 - (seen - centre)[:, 2]).max())
        camera = bpy.data.cameras.new("camera")
        camera.lens, camera.sensor_width = shot.lens, 36
        camera.clip_start = 0.01
        place = np.stack([right, up, ahead], 1) @ (centre - [0, 0, distance])
        self.scene.camera = thing = self._put_facing(camera, place, ahead)
        if shot.aperture:
            camera.dof.use_dof, camera.dof.aperture_fstop = True, shot.aperture
            camera.dof.focus_distance = max(float((focus - place) @ ahead), 0.05)
        movers = self.props if shot.motion == "prop" else [thing]
        render.use_motion_blur = shot.motion != "none" and bool(movers)
        if render.use_motion_blur:
            angle, extent = rng.uniform(0, 2 * np.pi), half[:2].max() * rng.uniform(0.01, 0.06)
            if shot.motion == "prop":
                extent *= 3
            step = (right * np.cos(angle) + up * np.sin(angle)) * extent
            for mover in movers:
                rest = mover.location.copy()
                for frame, sign in ((0, -1), (2, 1)):
                    mover.location = rest + sign * Vector(step)
                    mover.keyframe_insert("location", frame=frame)
                for curve in mover.animation_data.action.fcurves:
                    for key in curve.keyframe_points:
                        key.interpolation = "LINEAR"
            self.scene.frame_set(1)


def _panorama(path: Path) -> bpy.types.Image:
    """A panorama, reduced and of mean one."""
    full = bpy.data.images.load(str(path))
    pixels = np.array(full.pixels, np.float32).reshape(full.size[1], full.size[0], 4)
    bpy.data.images.remove(full)
    pixels = cv2.resize(pixels, (PANORAMA, PANORAMA // 2), interpolation=cv2.INTER_AREA)
    pixels[..., :3] /= pixels[..., :3].mean()
    image = bpy.data.images.new(path.stem, PANORAMA, PANORAMA // 2, float_buffer=True)
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image


def _with_alpha(colours: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, np.ones((len(colours), 1))], 1).astype(np.float32)
